//! Bad input and bad manners: each has its answer, and other clients notice nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use signal_core::Config;
use signal_server::SignalConfig;
use std::time::Duration;
use support::{Bystanders, Client, PATIENCE, Server, patiently, read_to_end, unlimited, unpaced};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// No heartbeat: these tests leave clients unread for long. And little grace.
fn without_heartbeat() -> Config {
    Config {
        heartbeat_interval: PATIENCE * 10,
        heartbeat_timeout: PATIENCE * 20,
        away_delay: Duration::from_millis(100),
        grace: Duration::from_secs(1),
        ..unpaced()
    }
}

/// One shard, so that bystanders and offenders share it.
fn with(hub: Config) -> SignalConfig {
    SignalConfig { hub, shards: 1, ..unlimited() }
}

async fn server() -> Server {
    Server::start(with(without_heartbeat())).await
}

/// A server that loses patience after a second.
async fn impatient() -> Server {
    Server::start(with(Config {
        hello_timeout: Duration::from_secs(1),
        heartbeat_interval: Duration::from_millis(500),
        heartbeat_timeout: Duration::from_millis(1500),
        grace: Duration::from_secs(1),
        ..unpaced()
    }))
    .await
}

/// A member of a room, and a witness who has seen it join.
async fn offender_and_witness(server: &Server) -> (Client, Client, String) {
    let (mut witness, _) = server.join("scene").await;
    let (offender, welcome) = server.join("scene").await;
    assert_eq!(witness.next().await["type"], "joined");
    (offender, witness, welcome["peer"].as_str().unwrap().to_owned())
}

async fn expect_left(witness: &mut Client, peer: &str, reason: &str) {
    let left = json!({"type": "left", "peer": peer, "reason": reason});
    assert_eq!(witness.next().await, left);
}

/// Expects that a peer is announced to be away, and to have left when its grace is over.
async fn expect_lost(witness: &mut Client, peer: &str, reason: &str) {
    assert_eq!(witness.next().await, json!({"type": "away", "peer": peer}));
    expect_left(witness, peer, reason).await;
}

/// Opens a WebSocket by hand, to send what no library sends.
async fn open_by_hand(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = "GET /v1/ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(patiently(stream.read_u8()).await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    // The example of RFC 6455 §1.3.
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    stream
}

#[tokio::test]
async fn each_bad_frame_is_answered_and_the_connection_goes_on() {
    let server = server().await;
    let bystanders = Bystanders::start(&server).await;
    let mut client = server.connect().await;
    for (text, code) in [
        ("hello", "bad_frame"),
        ("", "bad_frame"),
        ("[1]", "bad_frame"),
        (r#"{"type":"dance","id":5}"#, "unknown_type"),
        (r#"{"type":"hello"}"#, "missing_field"),
        (r#"{"type":"hello","room":"a b"}"#, "bad_room"),
        (r#"{"type":"hello","room":"a","metadata":[]}"#, "bad_metadata"),
        (r#"{"type":"signal","to":"x","data":1}"#, "hello_first"),
        (r#"{"type":"leave"}"#, "hello_first"),
        (r#"{"type":"ping"}"#, "hello_first"),
    ] {
        client.send_text(text).await;
        let error = client.expect_error(code).await;
        assert_eq!(error["retry"], false, "{text}");
        assert_eq!(error.get("id"), code.eq("unknown_type").then_some(&json!(5)), "{text}");
    }
    client.send_message(Message::binary(vec![0, 1, 2])).await;
    client.expect_error("binary_frame").await;

    let welcome = client.hello("scene").await;
    client.send(&json!({"type": "hello", "room": "scene"})).await;
    client.expect_error("already_joined").await;
    client.send_text(r#"{"type":"signal","to":"x"}"#).await;
    client.expect_error("missing_field").await;
    for nobody in ["x", "", "not an id", welcome["peer"].as_str().unwrap()] {
        client.signal(nobody, json!(1)).await;
        let code = if nobody.is_empty() { "missing_field" } else { "no_such_peer" };
        client.expect_error(code).await;
    }
    client.send(&json!({"type": "ping"})).await;
    assert_eq!(client.next().await["type"], "pong");
    bystanders.stop().await;
}

#[tokio::test]
async fn more_than_64_refused_frames_close_the_connection() {
    let server = server().await;
    let bystanders = Bystanders::start(&server).await;
    let (mut offender, mut witness, peer) = offender_and_witness(&server).await;
    for _ in 0..64 {
        offender.send_text("junk").await;
        offender.expect_error("bad_frame").await;
    }
    offender.send_text("junk").await;
    offender.expect_close(4100).await;
    expect_left(&mut witness, &peer, "misbehaved").await;
    bystanders.stop().await;
}

#[tokio::test]
async fn a_frame_of_64_kib_is_taken_and_a_larger_one_closes_the_connection() {
    let server = server().await;
    let bystanders = Bystanders::start(&server).await;
    let (mut offender, mut witness, peer) = offender_and_witness(&server).await;
    let padded = |bytes: usize| {
        let ping = r#"{"type":"ping"}"#;
        format!("{ping}{}", " ".repeat(bytes - ping.len()))
    };
    offender.send_text(&padded(65_536)).await;
    assert_eq!(offender.next().await["type"], "pong");
    offender.send_text(&padded(65_537)).await;
    offender.expect_close(1009).await;
    expect_left(&mut witness, &peer, "misbehaved").await;

    // In many small parts it is as large.
    let mut offender = server.connect().await;
    let part = |opcode| Message::Frame(Frame::message(vec![b' '; 30_000], opcode, false));
    offender.send_message(part(OpCode::Data(Data::Text))).await;
    offender.send_message(part(OpCode::Data(Data::Continue))).await;
    offender.send_message(part(OpCode::Data(Data::Continue))).await;
    offender.expect_close(1009).await;
    bystanders.stop().await;
}

/// A socket that is closed with unread bytes resets the connection, and a reset can overtake the
/// close frame.
#[tokio::test]
async fn a_client_in_the_midst_of_a_frame_that_is_too_large_learns_why_it_is_closed() {
    let server = server().await;
    let mut stream = open_by_hand(&server).await;
    let head = [&b"\x81\xFF"[..], &600_000_u64.to_be_bytes(), &[0; 4]].concat();
    stream.write_all(&[head, vec![b' '; 300_000]].concat()).await.unwrap();
    let mut answer = Vec::new();
    let end = patiently(stream.read_to_end(&mut answer)).await;
    assert!(end.is_ok(), "{end:?}");
    assert_eq!((answer[0], u16::from_be_bytes([answer[2], answer[3]])), (0x88, 1009));
}

#[tokio::test]
async fn what_is_not_utf8_closes_the_connection() {
    let server = server().await;
    let bystanders = Bystanders::start(&server).await;
    let (mut offender, mut witness, peer) = offender_and_witness(&server).await;
    let frame = Frame::message(vec![b'"', 0xC3, 0x28, b'"'], OpCode::Data(Data::Text), true);
    offender.send_message(Message::Frame(frame)).await;
    offender.expect_close(1007).await;
    expect_left(&mut witness, &peer, "misbehaved").await;
    bystanders.stop().await;
}

#[tokio::test]
async fn what_is_no_websocket_frame_closes_the_connection() {
    let server = server().await;
    let bystanders = Bystanders::start(&server).await;
    // Not masked, as a client's must be; a reserved opcode; a reserved bit.
    for bytes in [&b"\x81\x02{}"[..], b"\x83\x80\0\0\0\0", b"\xC1\x80\0\0\0\0"] {
        let mut stream = open_by_hand(&server).await;
        stream.write_all(bytes).await.unwrap();
        let mut close = [0; 4];
        patiently(stream.read_exact(&mut close)).await.unwrap();
        assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 1002));
    }
    bystanders.stop().await;
}

/// At a frame a second the time for `hello` is over long before the last of so many has its turn.
#[tokio::test]
async fn pings_pongs_and_empty_parts_are_read_no_faster_than_frames() {
    let hello_timeout = Duration::from_secs(1);
    let hub = Config { hello_timeout, messages_per_s: 1, messages_burst: 10, ..Config::default() };
    let server = Server::start(with(hub)).await;
    let ping = br#"{"type":"ping"}"#;
    let text = [&[0x81, 0x80 | ping.len() as u8, 0, 0, 0, 0], &ping[..]].concat();
    let begin = [&[0x01, 0x80 | ping.len() as u8, 0, 0, 0, 0], &ping[..]].concat();
    for (before, flood, last) in [
        (&b""[..], b"\x89\x80\0\0\0\0", &text[..]),
        (b"", b"\x8A\x80\0\0\0\0", &text),
        (&begin, b"\x00\x80\0\0\0\0", b"\x80\x80\0\0\0\0"),
    ] {
        let mut offender = open_by_hand(&server).await;
        offender.write_all(&[before, &flood.repeat(2000), last].concat()).await.unwrap();
        let mut answer = Vec::new();
        // The server closes first, with unread bytes.
        let _ = patiently(offender.read_to_end(&mut answer)).await;
        while answer.starts_with(b"\x8A\0") {
            answer.drain(..2);
        }
        // No `hello_first` before it.
        assert_eq!(answer[..1], [0x88], "{}", answer.escape_ascii());
        assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), 4000);
    }
}

#[tokio::test]
async fn bytes_cut_in_mid_frame_are_a_lost_connection() {
    let server = server().await;
    let bystanders = Bystanders::start(&server).await;
    let (offender, mut witness, peer) = offender_and_witness(&server).await;
    let mut stream = offender.socket.into_inner();
    stream.write_all(b"\x81\xFE\x20\x00\0\0\0\0{\"type\":\"sig").await.unwrap();
    drop(stream);
    expect_lost(&mut witness, &peer, "lost").await;
    bystanders.stop().await;
}

#[tokio::test]
async fn a_client_that_closes_in_order_has_left() {
    let server = server().await;
    let (mut ada, mut witness, peer) = offender_and_witness(&server).await;
    ada.socket.close(None).await.unwrap();
    expect_left(&mut witness, &peer, "left").await;
    let answer = patiently(ada.socket.next()).await;
    assert!(matches!(answer, Some(Ok(Message::Close(_)))), "{answer:?}");
}

#[tokio::test]
async fn a_full_room_refuses_and_its_members_stay() {
    let members_max = 100;
    let hub = Config { room_members_max: members_max, ..without_heartbeat() };
    let server = Server::start(with(hub)).await;
    let bystanders = Bystanders::start(&server).await;
    let mut members = Vec::new();
    for _ in 0..members_max {
        members.push(server.join("full").await.0);
    }
    for _ in 0..1000 {
        let mut late = server.connect().await;
        late.send(&json!({"type": "hello", "room": "full"})).await;
        assert_eq!(late.expect_error("room_full").await["retry"], true);
    }
    let (first, others) = members.split_first_mut().unwrap();
    let mut joins = 0;
    while joins < others.len() {
        let frame = first.next().await;
        let changes = frame["changes"].as_array().cloned().unwrap_or_else(|| vec![frame]);
        assert!(changes.iter().all(|change| change["type"] == "joined"), "{changes:?}");
        joins += changes.len();
    }
    drop(members.pop());
    let mut first = members.swap_remove(0);
    assert_eq!(first.next().await["type"], "away");
    assert_eq!(first.next().await["type"], "left");
    server.join("full").await;
    bystanders.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_and_nobody_waits_for_it() {
    let server = server().await;
    let bystanders = Bystanders::start(&server).await;
    let (offender, mut witness, peer) = offender_and_witness(&server).await;
    let load = "x".repeat(60_000);
    let left = loop {
        witness.signal(&peer, Value::from(load.as_str())).await;
        witness.send(&json!({"type": "ping"})).await;
        let frame = witness.next().await;
        if frame["type"] != "pong" {
            break frame;
        }
    };
    assert_eq!(left, json!({"type": "left", "peer": peer, "reason": "slow"}));
    assert_eq!(server.counter("signal_slow_members"), 1);
    // Once it reads, it learns why.
    offender.expect_close(4001).await;
    bystanders.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_at_all_is_cut_in_bounded_time() {
    let close_timeout = Duration::from_millis(200);
    let config = SignalConfig { close_timeout, ..with(without_heartbeat()) };
    let server = Server::start(config).await;
    let (offender, mut witness, peer) = offender_and_witness(&server).await;
    let load = "x".repeat(60_000);
    loop {
        witness.signal(&peer, Value::from(load.as_str())).await;
        witness.send(&json!({"type": "ping"})).await;
        if witness.next().await["type"] == "left" {
            break;
        }
    }
    server.expect_counter("signal_connections_open", 1).await;
    drop(offender);
}

#[tokio::test]
async fn a_client_that_never_reads_its_own_answers_is_closed() {
    let server = server().await;
    let bystanders = Bystanders::start(&server).await;
    let (mut witness, _) = server.join("scene").await;
    // With room for little, so that the server notices soon.
    let mut offender = Client::connect_narrow(server.address).await;
    let peer = offender.hello("scene").await["peer"].as_str().unwrap().to_owned();
    assert_eq!(witness.next().await["type"], "joined");
    let left = patiently(async {
        // Short to ask, long to answer.
        let wrong = Message::text(r#"{"type":"signal","to":"x","data":0}"#);
        loop {
            tokio::select! {
                // Errors once the server has given it up.
                sent = offender.socket.feed(wrong.clone()) => if sent.is_err() {
                    break witness.next().await;
                },
                left = witness.next() => break left,
            }
        }
    });
    assert_eq!(left.await, json!({"type": "left", "peer": peer, "reason": "slow"}));
    bystanders.stop().await;
}

#[tokio::test]
async fn a_client_that_never_says_hello_is_closed() {
    let server = impatient().await;
    let bystanders = Bystanders::start(&server).await;
    server.connect().await.expect_close(4000).await;
    let mut refused = server.connect().await;
    refused.send(&json!({"type": "hello", "room": ""})).await;
    refused.expect_close(4000).await;
    bystanders.stop().await;
}

#[tokio::test]
async fn a_client_that_vanishes_is_announced_and_one_that_answers_pings_stays() {
    let server = impatient().await;
    let bystanders = Bystanders::start(&server).await;
    let (offender, mut witness, peer) = offender_and_witness(&server).await;
    // The witness sends nothing either, but it reads, and so its library answers the pings.
    expect_lost(&mut witness, &peer, "vanished").await;
    offender.expect_close(4002).await;
    witness.send(&json!({"type": "ping"})).await;
    assert_eq!(witness.next().await["type"], "pong");
    bystanders.stop().await;
}

#[tokio::test]
async fn what_follows_hello_at_once_waits_for_its_answer() {
    let server = server().await;
    let (mut ada, welcome) = server.join("scene").await;
    let mut bob = server.connect().await;
    let to = welcome["peer"].clone();
    for frame in [
        json!({"type": "hello", "room": "scene"}),
        json!({"type": "signal", "to": to, "data": "early"}),
        json!({"type": "leave"}),
    ] {
        bob.socket.feed(Message::text(frame.to_string())).await.unwrap();
    }
    bob.socket.flush().await.unwrap();
    assert_eq!(bob.next().await["type"], "welcome");
    bob.expect_close(1000).await;
    for expected in ["joined", "signal", "left"] {
        assert_eq!(ada.next().await["type"], expected);
    }
}

#[tokio::test]
async fn a_server_with_a_stuck_client_still_ends_in_time() {
    let config =
        SignalConfig { close_timeout: Duration::from_millis(200), ..SignalConfig::default() };
    let server = Server::start(config).await;
    let (stuck, _) = server.join("scene").await;
    let mut by_hand = open_by_hand(&server).await;
    assert!(server.stop().await);
    assert!(!read_to_end(&mut by_hand).await.is_empty());
    drop(stuck);
}
