//! HTTP/2: WebSockets (RFC 8441), streams and polls over one connection, its limits and its end.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode, Version, header};
use futures_util::StreamExt as _;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use signal_core::Config;
use signal_server::{Http2Limits, HttpLimits, SignalConfig};
use std::time::Duration;
use support::{Client, Server, patiently, read_to_end};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

type Http2Client = Client<TokioIo<Upgraded>>;

/// A connection that many requests share.
struct Web {
    requests: SendRequest<Body>,
    /// Done when the connection is.
    end: JoinHandle<hyper::Result<()>>,
}

impl Web {
    async fn connect(server: &Server) -> Self {
        Self::connect_with(server, &mut http2::Builder::new(TokioExecutor::new())).await
    }

    async fn connect_with(server: &Server, settings: &mut http2::Builder<TokioExecutor>) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let made = settings.handshake(TokioIo::new(stream)).await;
        let (requests, connection) = made.unwrap();
        let end = tokio::spawn(connection);
        // The server's settings say whether it knows WebSockets: they come before its answers.
        let mut web = Self { requests, end };
        assert_eq!(web.get("/favicon.svg").await.status(), StatusCode::OK);
        web
    }

    async fn request(&mut self, request: Request<Body>) -> Response<Body> {
        patiently(self.requests.ready()).await.unwrap();
        let answer = patiently(self.requests.send_request(request)).await.unwrap();
        assert_eq!(answer.version(), Version::HTTP_2);
        answer.map(Body::new)
    }

    async fn get(&mut self, path: &str) -> Response<Body> {
        self.request(asked(Method::GET, path).body(Body::empty()).unwrap()).await
    }

    async fn open_websocket(&mut self) -> (Response<()>, Http2Client) {
        let answer = self.request(websocket(Some("websocket"), "13")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let (head, body) = answer.into_parts();
        let answer = Response::from_parts(head.clone(), body);
        let upgraded = patiently(hyper::upgrade::on(answer)).await.unwrap();
        let io = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
        (Response::from_parts(head, ()), Client::of(socket))
    }

    async fn join(&mut self, room: &str) -> (Http2Client, Value) {
        let (_, mut client) = self.open_websocket().await;
        let welcome = client.hello(room).await;
        (client, welcome)
    }
}

fn asked(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(format!("http://heliograph.test{path}"))
}

fn websocket(protocol: Option<&'static str>, version: &str) -> Request<Body> {
    let mut request = asked(Method::CONNECT, "/v1/ws")
        .header(header::SEC_WEBSOCKET_VERSION, version)
        .header(header::SEC_WEBSOCKET_PROTOCOL, "heliograph.v1");
    if let Some(protocol) = protocol {
        request = request.extension(Protocol::from_static(protocol));
    }
    request.body(Body::empty()).unwrap()
}

async fn text(answer: Response<Body>) -> String {
    let bytes = patiently(to_bytes(answer.into_body(), 1 << 20)).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn server() -> Server {
    Server::start(SignalConfig::default()).await
}

/// Limits with which what is idle, or takes nothing, is cut soon.
fn impatient() -> HttpLimits {
    HttpLimits {
        header_read_timeout: Duration::from_millis(200),
        untaken_timeout: Duration::from_millis(200),
        shutdown_timeout: Duration::from_millis(200),
        ..HttpLimits::default()
    }
}

#[tokio::test]
async fn websockets_of_both_versions_meet_in_a_room() {
    let server = server().await;
    let mut web = Web::connect(&server).await;
    let (answer, mut ada) = web.open_websocket().await;
    assert_eq!(answer.headers()[header::SEC_WEBSOCKET_PROTOCOL], "heliograph.v1");
    for name in [header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT, header::CONTENT_LENGTH] {
        assert!(!answer.headers().contains_key(&name), "{name} has no place in HTTP/2");
    }
    let of_ada = ada.hello("demo").await;
    // Two sockets of one connection.
    let (mut bob, of_bob) = web.join("demo").await;
    let (mut eve, of_eve) = server.join("demo").await;
    for _ in 0..2 {
        assert_eq!(ada.next().await["type"], "joined");
    }
    assert_eq!(bob.next().await["type"], "joined");
    let large = "x".repeat(60_000);
    let to_ada = of_ada["peer"].as_str().unwrap();
    for (from, sender) in [(&of_bob, "bob"), (&of_eve, "eve")] {
        match sender {
            "bob" => bob.signal(to_ada, json!(large)).await,
            _ => eve.signal(to_ada, json!(large)).await,
        }
        let frame = ada.next().await;
        assert_eq!((&frame["from"], &frame["data"]), (&from["peer"], &json!(large)));
    }
    ada.signal(of_eve["peer"].as_str().unwrap(), json!(7)).await;
    assert_eq!(eve.next().await["data"], 7);
    assert_eq!(server.counter("http_requests"), 4, "the first one was for a file");
}

#[tokio::test]
async fn streams_and_polls_share_a_connection() {
    let server = server().await;
    let mut web = Web::connect(&server).await;
    let page = web.get("/").await;
    assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(text(page).await.ends_with("</html>\n"));

    let hello = json!({"type": "hello", "room": "demo"}).to_string();
    let joining = asked(Method::POST, "/v1/send").body(Body::from(hello)).unwrap();
    let welcome: Value = serde_json::from_str(&text(web.request(joining).await).await).unwrap();
    let session = welcome[0]["session"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {}", welcome[0]["key"].as_str().unwrap());
    let with_key = |method, path: &str, body: Body| {
        let url = format!("{path}?session={session}&seq=1");
        asked(method, &url).header(header::AUTHORIZATION, &bearer).body(body).unwrap()
    };
    let polling =
        web.requests.clone().send_request(with_key(Method::GET, "/v1/poll", Body::empty()));
    let (mut bob, _) = server.join("demo").await;
    let polled = patiently(polling).await.unwrap().map(Body::new);
    assert!(text(polled).await.contains("joined"));

    let events = web.request(with_key(Method::GET, "/v1/events", Body::empty())).await;
    assert_eq!(events.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut events = events.into_body().into_data_stream();
    bob.signal(welcome[0]["peer"].as_str().unwrap(), json!("hello")).await;
    let mut seen = String::new();
    while !seen.contains("hello") {
        let piece = patiently(events.next()).await.unwrap().unwrap();
        seen.push_str(std::str::from_utf8(&piece).unwrap());
    }
    let leave = Body::from(json!({"type": "leave"}).to_string());
    let left = web.request(with_key(Method::POST, "/v1/send", leave)).await;
    assert!(text(left).await.contains("1000"));
    while patiently(events.next()).await.is_some_and(|piece| piece.is_ok()) {}
}

#[tokio::test]
async fn a_closed_websocket_ends_its_stream_and_no_other() {
    let server = server().await;
    let mut web = Web::connect(&server).await;
    let (mut ada, _) = web.join("demo").await;
    let (mut bob, _) = web.join("demo").await;
    assert_eq!(ada.next().await["type"], "joined");
    bob.send(&json!({"type": "leave"})).await;
    bob.expect_close(1000).await;
    assert_eq!(ada.next().await["reason"], "left");
    ada.send_text(&"x".repeat(70_000)).await;
    ada.expect_close(1009).await;
    server.expect_counter("signal_connections_open", 0).await;
    // The connection's own place is left.
    server.expect_counter("http_connections", 1).await;
    web.join("demo").await;
}

#[tokio::test]
async fn a_stream_that_is_reset_is_a_lost_connection() {
    let server = server().await;
    let (mut ada, _) = server.join("demo").await;
    let mut web = Web::connect(&server).await;
    let (bob, _) = web.join("demo").await;
    assert_eq!(ada.next().await["type"], "joined");
    drop(bob);
    assert_eq!(ada.next().await["type"], "away");
    assert_eq!(web.get("/").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_no_websocket_is_refused_with_advice() {
    let server = server().await;
    let mut web = Web::connect(&server).await;
    for (request, status, advice) in [
        (asked(Method::GET, "/v1/ws").body(Body::empty()).unwrap(), 405, "extended CONNECT"),
        (asked(Method::POST, "/v1/ws").body(Body::empty()).unwrap(), 405, "extended CONNECT"),
        (websocket(Some("connect-udp"), "13"), 501, "websocket"),
        (websocket(Some("websocket"), "8"), 400, "Sec-WebSocket-Version: 13"),
    ] {
        let answer = web.request(request).await;
        assert_eq!(answer.status(), status);
        let said = text(answer).await;
        assert!(said.contains(advice), "{said}");
    }
    let tunnel = Request::builder().method(Method::CONNECT).uri("other.test:443");
    let answer = web.request(tunnel.body(Body::empty()).unwrap()).await;
    assert!(answer.status().is_client_error(), "{}", answer.status());
    web.join("demo").await;
}

#[tokio::test]
async fn a_connection_with_nothing_under_way_is_ended_in_order() {
    let server = Server::start_limited(SignalConfig::default(), impatient()).await;
    let mut idle = Web::connect(&server).await;
    assert_eq!(idle.get("/").await.status(), StatusCode::OK);
    patiently(idle.end).await.unwrap().expect("a GOAWAY without an error");
    for begin in [&b""[..], b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        silent.write_all(begin).await.unwrap();
        read_to_end(&mut silent).await;
    }
    server.expect_counter("http_connections", 0).await;

    let mut web = Web::connect(&server).await;
    let (mut ada, _) = web.join("demo").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ada.send(&json!({"type": "ping"})).await;
    assert_eq!(ada.next().await["type"], "pong", "a WebSocket is under way");
}

#[tokio::test]
async fn every_request_takes_a_place() {
    let limits = HttpLimits {
        connections_max: 3,
        http2: Http2Limits { streams_max: 3, ..Http2Limits::default() },
        ..HttpLimits::default()
    };
    let server = Server::start_limited(SignalConfig::default(), limits).await;
    let mut web = Web::connect(&server).await;
    let (ada, _) = web.join("demo").await;
    let (_bob, _) = web.join("demo").await;
    let answer = web.get("/").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()[header::RETRY_AFTER], "5");
    assert_eq!(server.counter("http_refused"), 1);
    drop(ada);
    server.expect_counter("http_connections", 2).await;
    assert_eq!(web.get("/").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn more_requests_at_once_than_allowed_wait() {
    let limits = HttpLimits {
        http2: Http2Limits { streams_max: 1, ..Http2Limits::default() },
        ..HttpLimits::default()
    };
    let server = Server::start_limited(SignalConfig::default(), limits).await;
    let mut web = Web::connect(&server).await;
    let (ada, _) = web.join("demo").await;
    let mut waiting = Box::pin(web.get("/"));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "it must wait for the WebSocket");
    drop(ada);
    assert_eq!(patiently(waiting).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn large_heads_are_refused() {
    let server = server().await;
    let mut web = Web::connect(&server).await;
    let mut many = asked(Method::GET, "/");
    for number in 0..100 {
        many = many.header(format!("x-{number}"), "x");
    }
    let answer = web.request(many.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let large = asked(Method::GET, "/").header("x-large", "x".repeat(20_000));
    let refused = patiently(web.requests.send_request(large.body(Body::empty()).unwrap())).await;
    let status = refused.map(|answer| answer.status());
    assert!(status.is_err() || status.is_ok_and(|status| status == 431));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let server = Server::start_limited(SignalConfig::default(), impatient()).await;
    let mut settings = http2::Builder::new(TokioExecutor::new());
    let mut web = Web::connect_with(&server, settings.initial_stream_window_size(1000)).await;
    let page = web.get("/").await;
    assert!(patiently(web.end).await.unwrap().is_err(), "it is no end in order");
    server.expect_counter("http_connections", 0).await;
    drop(page);
}

#[tokio::test]
async fn a_client_that_takes_little_at_a_time_is_served() {
    let server = Server::start_limited(SignalConfig::default(), impatient()).await;
    let mut settings = http2::Builder::new(TokioExecutor::new());
    let mut web = Web::connect_with(&server, settings.initial_stream_window_size(4000)).await;
    let (mut pieces, mut page) = (web.get("/").await.into_body().into_data_stream(), Vec::new());
    while let Some(piece) = patiently(pieces.next()).await {
        page.extend_from_slice(&piece.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(page.ends_with(b"</html>\n"));
}

#[tokio::test]
async fn a_flood_of_requests_that_are_taken_back_is_cut() {
    let server = server().await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    for number in 0..2000u32 {
        let stream = (2 * number + 1).to_be_bytes();
        // GET http://x/ by the static table, and then a reset.
        bytes.extend([0, 0, 6, 1, 5]);
        bytes.extend(stream);
        bytes.extend([0x82, 0x86, 0x84, 0x41, 0x01, b'x']);
        bytes.extend([0, 0, 4, 3, 0]);
        bytes.extend(stream);
        bytes.extend([0, 0, 0, 8]);
    }
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // It may be cut while it still writes.
    let _ = stream.write_all(&bytes).await;
    let mut answer = Vec::new();
    let _ = patiently(stream.read_to_end(&mut answer)).await;
    server.expect_counter("http_connections", 0).await;
    let served = server.counter("http_requests");
    assert!(served < 2000, "{served} requests were served");
    server.join("demo").await;
}

#[tokio::test]
async fn the_end_of_the_server_closes_its_sessions_and_then_the_connection() {
    let server = server().await;
    let mut web = Web::connect(&server).await;
    let (mut ada, _) = web.join("demo").await;
    ada.send(&json!({"type": "ping"})).await;
    assert_eq!(ada.next().await["type"], "pong");
    let stopping = tokio::spawn(server.stop());
    ada.expect_close(4003).await;
    assert!(patiently(stopping).await.unwrap(), "all were gone in time");
    patiently(web.end).await.unwrap().expect("an end in order");
}

#[tokio::test]
async fn who_does_not_read_a_websocket_loses_it_and_no_other() {
    let server = Server::start(SignalConfig {
        hub: Config {
            heartbeat_interval: Duration::from_millis(200),
            heartbeat_timeout: Duration::from_millis(1000),
            ..Config::default()
        },
        close_timeout: Duration::from_millis(500),
        ..SignalConfig::default()
    })
    .await;
    let mut web = Web::connect(&server).await;
    let (_silent, _) = web.join("demo").await;
    server.expect_counter("signal_connections_open", 0).await;
    server.expect_counter("http_connections", 1).await;
    assert_eq!(web.get("/").await.status(), StatusCode::OK);
}
