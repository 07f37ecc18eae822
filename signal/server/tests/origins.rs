//! Pages of other origins: who may ask, and what browsers are told of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use signal_server::{Origins, SignalConfig};
use support::Server;

const PAGE: &str = "https://game.example.org";
const HELLO: &str = r#"{"type":"hello","room":"demo"}"#;

fn only(list: &[&str]) -> SignalConfig {
    let origins = Origins::Only(list.iter().map(|origin| origin.parse().unwrap()).collect());
    SignalConfig { origins, ..SignalConfig::default() }
}

async fn ask(server: &Server, method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    server
        .exchange(&format!(
            "{method} {path} HTTP/1.1\r\nhost: meet:8080\r\nconnection: close\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        ))
        .await
}

/// What a browser sends before a request with `Authorization`.
fn preflight(origin: &str) -> String {
    format!(
        "origin: {origin}\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: authorization\r\n"
    )
}

fn websocket(origin: &str) -> String {
    format!(
        "origin: {origin}\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
}

/// A WebSocket's opening handshake; the first line of the answer.
async fn open(server: &Server, headers: &str) -> String {
    let request =
        format!("GET /v1/ws HTTP/1.1\r\nhost: meet:8080\r\nconnection: upgrade\r\n{headers}\r\n");
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let mut line = vec![0; 12];
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    support::patiently(stream.write_all(request.as_bytes())).await.unwrap();
    support::patiently(stream.read_exact(&mut line)).await.unwrap();
    String::from_utf8(line).unwrap()
}

#[tokio::test]
async fn a_page_of_any_origin_may_use_all_of_it_by_default() {
    let server = Server::start(SignalConfig::default()).await;
    for path in ["/v1/send", "/v1/poll", "/v1/events"] {
        let answer = ask(&server, "OPTIONS", path, &preflight(PAGE), "").await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        assert!(answer.contains("access-control-allow-origin: *\r\n"), "{answer}");
        assert!(answer.contains("access-control-allow-methods: GET, POST, DELETE\r\n"), "{answer}");
        let headers = "access-control-allow-headers: authorization, content-type, last-event-id";
        assert!(answer.contains(headers), "{answer}");
    }
    let answer = ask(&server, "POST", "/v1/send", &format!("origin: {PAGE}\r\n"), HELLO).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("access-control-allow-origin: *\r\n"), "{answer}");
    assert!(answer.contains("access-control-expose-headers: retry-after\r\n"), "{answer}");
    assert_eq!(open(&server, &websocket(PAGE)).await, "HTTP/1.1 101");
    let plain = ask(&server, "POST", "/v1/send", "", HELLO).await;
    assert!(!plain.contains("access-control"), "no browser, nothing to be told: {plain}");
}

#[tokio::test]
async fn a_refusal_can_be_read_by_the_page_too() {
    let server = Server::start(SignalConfig::default()).await;
    let headers = format!("origin: {PAGE}\r\n");
    let answer = ask(&server, "GET", "/v1/poll?session=demo:me&key=x", &headers, "").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("access-control-allow-origin: *\r\n"), "{answer}");
}

#[tokio::test]
async fn with_a_list_others_are_refused() {
    let server = Server::start(only(&[PAGE])).await;
    let listed = format!("origin: {PAGE}\r\n");
    let answer = ask(&server, "POST", "/v1/send", &listed, HELLO).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(&format!("access-control-allow-origin: {PAGE}\r\n")), "{answer}");
    assert!(answer.contains("vary: origin\r\n"), "{answer}");
    let answer = ask(&server, "OPTIONS", "/v1/send", &preflight(PAGE), "").await;
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(open(&server, &websocket(PAGE)).await, "HTTP/1.1 101");

    let other = "https://evil.example.org";
    let headers = format!("origin: {other}\r\n");
    for (method, path, headers) in [
        ("POST", "/v1/send", &headers),
        ("GET", "/v1/poll?session=demo:me&key=x", &headers),
        ("GET", "/v1/events?session=demo:me&key=x", &headers),
        ("OPTIONS", "/v1/send", &preflight(other)),
    ] {
        let answer = ask(&server, method, path, headers, "").await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{method} {path}: {answer}");
        assert!(answer.contains("--allow-origin"), "{answer}");
        assert!(!answer.contains("access-control-allow"), "{answer}");
    }
    assert_eq!(open(&server, &websocket(other)).await, "HTTP/1.1 403");
    server.expect_counter("signal_joins", 1).await;
}

#[tokio::test]
async fn the_servers_own_page_and_programs_without_an_origin_are_no_strangers() {
    let server = Server::start(only(&[])).await;
    assert_eq!(open(&server, &websocket("http://meet:8080")).await, "HTTP/1.1 101");
    assert_eq!(open(&server, &websocket("http://meet:80")).await, "HTTP/1.1 403");
    let without = websocket("x").split_once("\r\n").unwrap().1.to_owned();
    assert_eq!(open(&server, &without).await, "HTTP/1.1 101");
    let answer = ask(&server, "GET", "/", "origin: https://evil.example.org\r\n", "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "the page itself is for all: {answer}");
}
