//! Proxies that say by a PROXY header whose connection they pass on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use signal_server::{AdmissionLimits, Http, HttpLimits, SignalConfig};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use support::{Client, Server, patiently, read_to_end};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// The proxy; everybody else on this machine is nobody's proxy.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

/// A server where each address has one connection, so that it shows who is who. HTTP proxies are
/// at 192.0.2.0/24.
async fn server_within(limits: HttpLimits) -> Server {
    let admission = AdmissionLimits { address_connections_max: 1, ..AdmissionLimits::default() };
    let trusted: Vec<_> =
        ["127.0.0.7", "192.0.2.0/24"].map(|network| network.parse().unwrap()).into();
    let config =
        SignalConfig { admission, trusted_proxies: trusted.clone(), ..SignalConfig::default() };
    Server::start_with(config, Http::new(limits).behind_proxies(trusted)).await
}

async fn server() -> Server {
    server_within(HttpLimits::default()).await
}

/// A connection from an address of this machine, which begins with some bytes.
async fn connect(server: &Server, from: Ipv4Addr, bytes: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// A WebSocket behind a header; the status of its refusal. `forwarded` is what the client claims.
async fn open(stream: TcpStream, forwarded: &str) -> Result<Client, u16> {
    let mut request = "ws://localhost/v1/ws".into_client_request().unwrap();
    request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
    match patiently(client_async(request, stream)).await {
        Ok((socket, _)) => Ok(Client::of(socket)),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

fn text(source: &str) -> Vec<u8> {
    let family = if source.contains(':') { "TCP6" } else { "TCP4" };
    format!("PROXY {family} {source} {source} 4711 443\r\n").into_bytes()
}

fn binary(command: u8, source: &str) -> Vec<u8> {
    let (family, address) = match source.parse().unwrap() {
        IpAddr::V4(v4) => (0x11, v4.octets().to_vec()),
        IpAddr::V6(v6) => (0x21, v6.octets().to_vec()),
    };
    let rest = [&address[..], &address, &[0x12, 0x67, 0x01, 0xBB], b"\x04\x00\x01x"].concat();
    let head = [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, b'Q', b'U', b'I', b'T', 0x0A];
    [&head[..], &[command, family, 0, u8::try_from(rest.len()).unwrap()], &rest].concat()
}

/// What proxies send of the same client, each of which is to be taken for it.
async fn expect_one_client(headers: [Vec<u8>; 2]) {
    let server = server().await;
    let nobody = "198.51.100.99";
    for (first, second) in [(0, 1), (1, 0), (0, 0), (1, 1)] {
        let stream = connect(&server, PROXY, &headers[first]).await;
        let mut client = open(stream, nobody).await.unwrap();
        client.hello("demo").await;
        let stream = connect(&server, PROXY, &headers[second]).await;
        assert_eq!(open(stream, nobody).await.err(), Some(429), "{first} {second}");
        let stream = connect(&server, PROXY, &text("203.0.113.200")).await;
        open(stream, nobody).await.expect("another client has its own place");
        client.socket.close(None).await.unwrap();
        drop(client);
        server.expect_counter("signal_connections_open", 0).await;
        server.expect_counter("http_connections", 0).await;
    }
}

#[tokio::test]
async fn a_header_names_the_client_by_ipv4() {
    expect_one_client([text("203.0.113.1"), binary(0x21, "203.0.113.1")]).await;
}

#[tokio::test]
async fn a_header_names_the_client_by_ipv6() {
    expect_one_client([text("2001:db8::1"), binary(0x21, "2001:db8::1")]).await;
}

#[tokio::test]
async fn a_connection_of_the_proxy_itself_is_counted_as_its_own() {
    let local = binary(0x20, "203.0.113.1");
    expect_one_client([local, b"PROXY UNKNOWN\r\n".to_vec()]).await;
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let server = server().await;
    for header in [text("203.0.113.1"), binary(0x21, "203.0.113.2")] {
        let mut stream = connect(&server, PROXY, &[]).await;
        for byte in header {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        open(stream, "x").await.unwrap().hello("demo").await;
    }
}

#[tokio::test]
async fn only_proxies_are_believed() {
    let server = server().await;
    // Whoever isn't one may come without a header, and not with one.
    let own = Ipv4Addr::new(127, 0, 0, 8);
    let _client = open(connect(&server, own, b"").await, "x").await.unwrap();
    for header in [text("203.0.113.1"), binary(0x21, "203.0.113.1")] {
        let bytes = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        let answer = read_to_end(&mut connect(&server, own, &bytes).await).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert_eq!(server.counter("http_proxy_header_failures"), 0);
}

#[tokio::test]
async fn forwarded_for_counts_only_from_a_proxy_that_the_header_names() {
    let server = server().await;
    let claims = async |header: Vec<u8>, forwarded: &str| {
        open(connect(&server, PROXY, &header).await, forwarded).await
    };
    // Named, but no proxy: what it claims counts for nothing.
    let _one = claims(text("203.0.113.1"), "203.0.113.2").await.unwrap();
    let _two = claims(text("203.0.113.2"), "203.0.113.1").await.unwrap();
    // An HTTP proxy behind the proxy.
    let _three = claims(text("192.0.2.5"), "203.0.113.3").await.unwrap();
    assert_eq!(claims(text("192.0.2.6"), "203.0.113.3").await.err(), Some(429));
    // Not named: the connection is the proxy's, but what is said on it the client's.
    let _four = claims(b"PROXY UNKNOWN\r\n".to_vec(), "203.0.113.4").await.unwrap();
    let five = claims(b"PROXY UNKNOWN\r\n".to_vec(), "203.0.113.5").await;
    assert_eq!(five.err(), Some(429));
}

#[tokio::test]
async fn who_comes_without_a_good_header_is_closed_and_counted() {
    let server = server().await;
    let large = [&binary(0x21, "203.0.113.1")[..14], &[0xFF, 0xFF]].concat();
    for (count, bytes) in [
        (1, &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..]),
        (2, b"PROXY TCP4 nobody nobody 1 2\r\n"),
        (3, &binary(0x2F, "203.0.113.1")),
        (4, &large),
    ] {
        let answer = read_to_end(&mut connect(&server, PROXY, bytes).await).await;
        assert_eq!(answer, "", "{}", bytes.escape_ascii());
        server.expect_counter("http_proxy_header_failures", count).await;
    }
    let samples = server.http.samples();
    let why = |why| {
        let of = samples.iter().find(|sample| sample.label == Some(("why", why)));
        of.map(|sample| sample.value)
    };
    let counts = ["missing", "malformed", "too_long", "cut", "late"].map(why);
    assert_eq!(counts, [Some(1), Some(2), Some(1), Some(0), Some(0)]);
    server.expect_counter("http_connections", 0).await;
}

#[tokio::test]
async fn a_header_that_is_not_finished_holds_no_place_for_long() {
    let limits =
        HttpLimits { handshake_timeout: Duration::from_millis(200), ..HttpLimits::default() };
    let server = server_within(limits).await;
    for (count, begin) in [(1, &b""[..]), (2, b"PROXY TCP4 203.0"), (3, b"\r\n\r\n\0")] {
        let mut slow = connect(&server, PROXY, begin).await;
        assert_eq!(read_to_end(&mut slow).await, "");
        server.expect_counter("http_proxy_header_failures", count).await;
    }
    let mut cut = connect(&server, PROXY, b"PROXY TCP4 203.0").await;
    cut.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut cut).await, "");
    server.expect_counter("http_proxy_header_failures", 4).await;
    let samples = server.http.samples();
    let cuts = samples.iter().find(|sample| sample.label == Some(("why", "cut")));
    assert_eq!(cuts.map(|sample| sample.value), Some(1));

    // Who only looks whether somebody listens does nothing wrong.
    let mut probe = connect(&server, PROXY, b"").await;
    probe.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut probe).await, "");
    server.expect_counter("http_connections", 0).await;
    assert_eq!(server.counter("http_proxy_header_failures"), 4);
}
