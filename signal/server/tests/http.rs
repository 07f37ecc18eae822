//! The HTTP around the WebSocket: the page, refused upgrades, limits of connections.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::json;
use signal_core::Config;
use signal_server::{HttpLimits, SignalConfig};
use std::time::Duration;
use support::{Server, patiently, read_to_end};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

async fn server() -> Server {
    Server::start(SignalConfig::default()).await
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let mut lines = answer.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| *found == name).unwrap_or_else(|| panic!("{name} in {answer}")).1
}

#[tokio::test]
async fn the_page_is_served_with_a_strict_policy() {
    let server = server().await;
    let answer = server.exchange(&get("/", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
    assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
    let policy = header(&answer, "content-security-policy");
    assert!(policy.contains("default-src 'self'; connect-src 'self' ws: wss:"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");

    let script = server.exchange(&get("/app.js", "")).await;
    assert_eq!(header(&script, "content-type"), "text/javascript; charset=utf-8");
}

#[tokio::test]
async fn the_page_that_checks_is_beside_its_files_with_or_without_a_slash() {
    let server = server().await;
    let answer = server.exchange(&get("/check", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
    let files = answer.split("=\"check/").skip(1).filter_map(|rest| rest.split('"').next());
    for name in files {
        let found = server.exchange(&get(&format!("/check/{name}"), "")).await;
        assert!(found.starts_with("HTTP/1.1 200 "), "{name}: {found}");
    }
    let answer = server.exchange(&get("/check/", "")).await;
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert_eq!(header(&answer, "location"), "../check", "a proxy may serve it under a path");
}

#[tokio::test]
async fn the_sdk_is_served_to_pages_of_all_origins() {
    let server = server().await;
    let answer = server.exchange(&get("/heliograph.js", "origin: https://example.org\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(header(&answer, "content-type"), "text/javascript; charset=utf-8");
    assert_eq!(header(&answer, "access-control-allow-origin"), "*");
    assert_eq!(header(&answer, "cross-origin-resource-policy"), "cross-origin");
    assert!(answer.contains("export {") && answer.contains("join"), "it is a module");
    let known = format!("if-none-match: {}\r\n", header(&answer, "etag"));
    let answer = server.exchange(&get("/heliograph.js", &known)).await;
    assert!(answer.starts_with("HTTP/1.1 304 "), "{answer}");
    assert_eq!(header(&answer, "access-control-allow-origin"), "*");
}

#[tokio::test]
async fn a_file_that_has_not_changed_is_not_sent_again() {
    let server = server().await;
    let first = server.exchange(&get("/index.html", "")).await;
    assert_eq!(header(&first, "cache-control"), "no-cache");
    let known = format!("if-none-match: {}\r\n", header(&first, "etag"));
    let second = server.exchange(&get("/index.html", &known)).await;
    assert!(second.starts_with("HTTP/1.1 304 ") && second.ends_with("\r\n\r\n"), "{second}");
    let other = server.exchange(&get("/index.html", "if-none-match: \"x\"\r\n")).await;
    assert!(other.starts_with("HTTP/1.1 200 "), "{other}");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = server().await;
    for path in ["/nothing", "/v1/nothing", "/../Cargo.toml", "/%2e%2e/Cargo.toml"] {
        let answer = server.exchange(&get(path, "")).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_refused_upgrade_says_what_to_do() {
    let server = server().await;
    let upgrade = "upgrade: websocket\r\n";
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let request = |method: &str, headers: String| {
        format!(
            "{method} /v1/ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, close\r\n{headers}\r\n"
        )
    };
    let version = "sec-websocket-version: 13\r\n";
    for (request, status, advice) in [
        (request("POST", "content-length: 0\r\n".to_owned()), "405", "with GET"),
        (request("GET", format!("{version}{key}")), "426", "new WebSocket(url)"),
        (request("GET", format!("{upgrade}{key}")), "426", "Sec-WebSocket-Version: 13"),
        (request("GET", format!("{upgrade}{version}")), "400", "Sec-WebSocket-Key"),
        (
            request("GET", format!("{upgrade}{version}sec-websocket-key: short\r\n")),
            "400",
            "16 bytes",
        ),
    ] {
        let answer = server.exchange(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("text/plain") && answer.contains(advice), "{answer}");
    }
}

#[tokio::test]
async fn a_half_open_request_is_closed() {
    let limits =
        HttpLimits { header_read_timeout: Duration::from_millis(200), ..HttpLimits::default() };
    let server = Server::start_limited(SignalConfig::default(), limits).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    for stream in [&mut slow, &mut silent] {
        let answer = read_to_end(stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    server.expect_counter("http_connections", 0).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = server().await;
    let large = format!("x-large: {}\r\n", "x".repeat(20_000));
    let many = "x-many: x\r\n".repeat(100);
    for headers in [large, many] {
        let answer = server.exchange(&get("/", &headers)).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn connections_over_the_limit_are_told_to_come_back() {
    let limits = HttpLimits { connections_max: 2, ..HttpLimits::default() };
    let server = Server::start_limited(SignalConfig::default(), limits).await;
    let (mut ada, _) = server.join("demo").await;
    let (bob, _) = server.join("demo").await;
    // Nothing is sent: a server that closes with unread bytes resets the connection.
    let mut third = TcpStream::connect(server.address).await.unwrap();
    let answer = read_to_end(&mut third).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(header(&answer, "content-length"), body.len().to_string());
    assert_eq!(server.counter("http_refused"), 1);

    drop(bob);
    assert_eq!(ada.next().await["type"], "joined");
    assert_eq!(ada.next().await["type"], "away");
    server.expect_counter("http_connections", 1).await;
    server.join("demo").await;
}

#[tokio::test]
async fn a_request_under_way_may_finish() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    server.expect_counter("http_accepted", 1).await;
    let stopping = tokio::spawn(server.stop());
    stream.write_all(b"\r\n").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(patiently(stopping).await.unwrap());
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let hour = Duration::from_secs(3600);
    let limits = HttpLimits {
        header_read_timeout: hour,
        untaken_timeout: Duration::from_millis(300),
        ..HttpLimits::default()
    };
    let hub = Config { heartbeat_timeout: hour, ..Config::default() };
    let config = SignalConfig { hub, ..SignalConfig::default() };
    let server = Server::start_limited(config, limits).await;
    let (mut bob, _) = server.join("demo").await;
    let (ada, welcome) = server.join("demo").await;
    let text = |field: &str| welcome[field].as_str().unwrap().to_owned();
    let events = format!("/v1/events?session={}&key={}&seq=1", text("session"), text("key"));
    let mut deaf = Vec::new();
    for path in ["/style.css", &events] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        let mut stream = socket.connect(server.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        deaf.push(stream);
    }
    ada.expect_close(4101).await;
    assert_eq!(bob.next().await["type"], "joined");
    for _ in 0..100 {
        bob.signal(&text("peer"), json!("x".repeat(2000))).await;
    }
    server.expect_counter("http_connections", 1).await;
    assert_eq!(bob.next().await["type"], "away");
}
