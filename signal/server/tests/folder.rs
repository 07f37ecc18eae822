//! An operator's own folder in place of the page: what of it is served, and what isn't.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use signal_server::{Folder, SignalConfig};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use support::Server;

/// A folder of a test, made anew.
fn made(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(path.join("site/game")).unwrap();
    fs::write(path.join("secret"), "not for others").unwrap();
    let site = path.join("site");
    fs::write(site.join("index.html"), "<title>own</title>").unwrap();
    fs::write(site.join("game/index.html"), "<title>game</title>").unwrap();
    fs::write(site.join("own.js"), "x".repeat(200_000)).unwrap();
    fs::write(site.join(".hidden"), "not for others").unwrap();
    symlink(path.join("secret"), site.join("link")).unwrap();
    site
}

async fn serving(site: &Path) -> Server {
    let page = Some(Folder::open(site).unwrap());
    Server::start(SignalConfig { page, ..SignalConfig::default() }).await
}

async fn get(server: &Server, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    server.exchange(&request).await
}

#[tokio::test]
async fn its_files_are_served_in_place_of_the_page() {
    let server = serving(&made("own")).await;
    let index = get(&server, "/").await;
    assert!(index.starts_with("HTTP/1.1 200 ") && index.ends_with("<title>own</title>"), "{index}");
    assert!(index.contains("content-type: text/html; charset=utf-8\r\n"), "{index}");
    let script = get(&server, "/own.js").await;
    assert!(script.contains("content-length: 200000\r\n"), "it is long");
    assert!(script.ends_with(&"x".repeat(200_000)), "all of it came");
    assert!(get(&server, "/app.js").await.starts_with("HTTP/1.1 404 "), "that is the page's own");
}

#[tokio::test]
async fn what_pages_share_stays() {
    let site = made("shared");
    let server = serving(&site).await;
    for path in ["/heliograph.js", "/check", "/check/app.js", "/look.css", "/favicon.svg"] {
        let answer = get(&server, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    fs::write(site.join("look.css"), "/* own */").unwrap();
    assert!(get(&server, "/look.css").await.ends_with("/* own */"), "its own goes first");
}

#[tokio::test]
async fn a_folder_in_it_has_an_index_of_its_own() {
    let server = serving(&made("inner")).await;
    let answer = get(&server, "/game").await;
    assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
    assert!(answer.contains("location: game/\r\n"), "a proxy may serve it under a path: {answer}");
    assert!(get(&server, "/game/").await.ends_with("<title>game</title>"));
}

#[tokio::test]
async fn nothing_else_of_the_machine_is_served() {
    let server = serving(&made("closed")).await;
    for path in ["/link", "/.hidden", "/../secret", "/game/../../secret", "/%2e%2e/secret"] {
        let answer = get(&server, path).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_change_is_seen_and_what_has_not_changed_is_not_sent_again() {
    let site = made("changing");
    let server = serving(&site).await;
    let first = get(&server, "/own.js").await;
    let tag = first.split("etag: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let known = format!(
        "GET /own.js HTTP/1.1\r\nhost: x\r\nif-none-match: {tag}\r\nconnection: close\r\n\r\n"
    );
    assert!(server.exchange(&known).await.starts_with("HTTP/1.1 304 "));
    fs::write(site.join("own.js"), "new").unwrap();
    assert!(server.exchange(&known).await.ends_with("\r\n\r\nnew"));
}

#[test]
fn a_folder_without_an_index_is_refused() {
    let site = made("empty");
    fs::remove_file(site.join("index.html")).unwrap();
    assert!(Folder::open(&site).unwrap_err().to_string().contains("index.html"));
    assert!(Folder::open(&site.join("nowhere")).is_err());
}
