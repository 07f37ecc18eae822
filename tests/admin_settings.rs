//! The settings of the admin API, through the real binary.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "support/api.rs"]
mod api;
mod support;

use support::{Heliograph, command, get, run};

const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

fn token_file(name: &str, text: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("heliograph-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn it_does_not_start_without_a_token_that_cannot_be_guessed() {
    let short = token_file("short.token", "swordfish\n");
    let spaced = token_file("spaced.token", "a sword fish in the sea\n");
    let (short, spaced) = (short.to_str().unwrap(), spaced.to_str().unwrap());
    for (arguments, named) in [
        (&[][..], "--admin-token-file FILE"),
        (&["--admin-token", "swordfish"], "--admin-token: the token needs 16"),
        (&["--admin-token-file", short], "--admin-token-file"),
        (&["--admin-token-file", spaced], "without spaces"),
        (&["--admin-token-file", "/nowhere/at/all"], "cannot read /nowhere/at/all"),
        (&["--admin-token-file", short, "--admin-token", "0123456789abcdef"], "one of them"),
    ] {
        let arguments = [&ADMIN[..], &["--http", "127.0.0.1:0"], arguments].concat();
        let (code, out, err) = run(&arguments);
        assert_eq!((code, err.lines().count()), (2, 1), "{arguments:?}: {out}{err}");
        assert!(err.contains(named) && !err.contains("swordfish"), "{arguments:?}: {err}");
    }
    for file in [short, spaced] {
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn the_token_of_a_file_opens_and_is_never_shown() {
    let file = token_file("good.token", &format!("{}\n", api::TOKEN));
    let file_flags = ["--admin-token-file", file.to_str().unwrap()];
    let flags = [&ADMIN[..], &file_flags, &["--http", "127.0.0.1:0"]].concat();
    let server = Heliograph::start(&[&["signal"], &flags[..]].concat());
    assert_eq!(api::get(&server, "/v1/rooms")["rooms"], serde_json::json!([]));
    let page = get(api::address(&server), "/");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<title>"), "{page}");
    let policy = page.to_ascii_lowercase();
    assert!(policy.contains("content-security-policy: default-src 'self';"), "{page}");
    assert!(
        get(server.http(), "/v1/status").starts_with("HTTP/1.1 404"),
        "only on its own listener"
    );
    assert!(get(api::address(&server), "/metrics").starts_with("HTTP/1.1 404"));
    std::fs::remove_file(&file).unwrap();

    let given = command(&[&["--check"], &ADMIN[..]].concat())
        .env("HELIOGRAPH_ADMIN_TOKEN", api::TOKEN)
        .output()
        .unwrap();
    let out = String::from_utf8(given.stdout).unwrap();
    assert!(out.contains("admin = \"127.0.0.1:0\""), "{out}");
    assert!(out.contains("admin-token = \"********\"") && !out.contains(api::TOKEN), "{out}");
}
