//! What docs/protocol.md describes, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use heliograph_base::{SeatName, Secret, Username, password};
use serde_json::json;
use signal_server::{IceConfig, SignalConfig, TurnListener, TurnTransport};
use std::time::Duration;
use support::{Client, Server, patiently, unlimited};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

fn with_relay() -> SignalConfig {
    let bound = |text: &str| TurnListener {
        transport: TurnTransport::Udp,
        bound: text.parse().unwrap(),
        public: None,
    };
    let ice = IceConfig {
        secret: Some(Secret::from_text("north").unwrap()),
        ttl: Duration::from_secs(3600),
        turn: vec![bound("127.0.0.1:3478"), bound("[::1]:3478")],
        ..IceConfig::default()
    };
    SignalConfig { ice, ..SignalConfig::default() }
}

#[tokio::test]
async fn two_peers_meet_talk_and_part() {
    let server = Server::start(with_relay()).await;
    let (mut ada, alone) = server.join("demo").await;
    assert_eq!((&alone["room"], &alone["members"]), (&json!("demo"), &json!([])));
    assert_eq!(alone["heartbeat"], json!({"interval_s": 4, "timeout_s": 9}));
    let limits = json!({
        "frame_bytes_max": 65_536,
        "metadata_bytes_max": 1024,
        "members_max": 1024,
        "unacked_frames_max": 256,
        "unacked_bytes_max": 262_144,
    });
    assert_eq!(alone["limits"], limits);
    let ada_id = alone["peer"].as_str().unwrap();

    let mut bob = server.connect().await;
    bob.send(&json!({"type": "hello", "room": "demo", "metadata": {"name": "bob"}})).await;
    let welcome = bob.next().await;
    let bob_id = welcome["peer"].as_str().unwrap();
    let member = json!({"peer": ada_id, "metadata": {}, "polite": false, "offers": true});
    assert_eq!(welcome["members"], json!([member]));
    let joined = json!({
        "type": "joined",
        "peer": bob_id,
        "metadata": {"name": "bob"},
        "polite": true,
        "offers": false,
    });
    assert_eq!(ada.next().await, joined);

    bob.send_text(&format!(
        r#"{{"type":"signal","to":"{ada_id}","data":{{ "sdp":"a\u0062", "n":1.0e2 }}}}"#
    ))
    .await;
    let relayed = ada.next_text().await;
    let verbatim =
        r#"{"seq":3,"type":"signal","from":"FROM","data":{ "sdp":"a\u0062", "n":1.0e2 }}"#;
    assert_eq!(relayed, verbatim.replace("FROM", bob_id));
    ada.signal(bob_id, json!("answer")).await;
    assert_eq!(bob.next().await, json!({"type": "signal", "from": ada_id, "data": "answer"}));

    bob.send(&json!({"type": "ping", "id": 7})).await;
    assert_eq!(bob.next().await, json!({"type": "pong", "id": 7}));
    bob.send(&json!({"type": "leave"})).await;
    bob.expect_close(1000).await;
    assert_eq!(ada.next().await, json!({"type": "left", "peer": bob_id, "reason": "left"}));
    ada.socket.close(None).await.unwrap();
    assert!(server.stop().await);
}

#[tokio::test]
async fn the_welcome_has_credentials_of_the_seat_for_the_address_that_the_client_reached() {
    let server = Server::start(with_relay()).await;
    let (_ada, welcome) = server.join("demo").await;
    let servers = welcome["ice_servers"].as_array().unwrap();
    assert_eq!(servers[0], json!({"urls": ["stun:127.0.0.1:3478"]}));
    assert_eq!(servers[1]["urls"], json!(["turn:127.0.0.1:3478?transport=udp"]));
    assert_eq!(welcome["ice_ttl_s"], 3600);

    let username = servers[1]["username"].as_str().unwrap();
    let secret = Secret::from_text("north").unwrap();
    assert_eq!(servers[1]["credential"], password(&secret, username));
    let seat = SeatName::parse(Username::parse(username).unwrap().holder).unwrap();
    assert_eq!((seat.room, seat.peer), ("demo", welcome["peer"].as_str().unwrap()));
}

#[tokio::test]
async fn signals_keep_their_order() {
    let server = Server::start(unlimited()).await;
    let (mut ada, _) = server.join("demo").await;
    let (mut bob, welcome) = server.join("demo").await;
    let to = welcome["peer"].as_str().unwrap();
    // No more at once than may wait to be acknowledged.
    for hundred in 0..20 {
        let numbers = hundred * 100..(hundred + 1) * 100;
        for number in numbers.clone() {
            ada.signal(to, json!(number)).await;
        }
        for number in numbers {
            assert_eq!(bob.next().await["data"], json!(number));
        }
    }
}

#[tokio::test]
async fn the_subprotocol_is_selected_if_it_is_offered() {
    let server = Server::start(SignalConfig::default()).await;
    let url = format!("ws://{}/v1/ws", server.address);
    for (offered, selected) in [("other, heliograph.v1", Some("heliograph.v1")), ("other", None)] {
        let mut request = url.as_str().into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
        let stream = TcpStream::connect(server.address).await.unwrap();
        let answer = match patiently(client_async(request, stream)).await {
            Ok((_, response)) => response.headers().get("sec-websocket-protocol").cloned(),
            // The client refuses an answer without any of the subprotocols that it offered.
            Err(_) => None,
        };
        assert_eq!(answer.as_ref().map(|value| value.to_str().unwrap()), selected);
    }
}

#[tokio::test]
async fn the_end_of_the_server_closes_every_session() {
    let server = Server::start(SignalConfig::default()).await;
    let (ada, _) = server.join("demo").await;
    let (bob, _) = server.join("other").await;
    let silent = server.connect().await;
    let clients = [ada, bob, silent];
    let watching = clients.map(|client: Client| tokio::spawn(client.expect_close(4003)));
    assert!(server.stop().await);
    for watch in watching {
        watch.await.unwrap();
    }
}

#[tokio::test]
async fn an_announced_end_is_told_and_sessions_go_on_until_then() {
    let config = SignalConfig { goaway_per_s: 1000, ..SignalConfig::default() };
    let server = Server::start(config).await;
    let (mut ada, welcome) = server.join("demo").await;
    let (mut bob, _) = server.join("demo").await;
    assert_eq!(ada.next().await["type"], "joined");
    server.signal.drain(Duration::from_secs(60), Some("wss://other.example.org".to_owned()));
    for client in [&mut ada, &mut bob] {
        let goaway = client.next().await;
        assert_eq!(goaway["url"], "wss://other.example.org");
        assert!((50..=60).contains(&goaway["deadline_s"].as_u64().unwrap()), "{goaway}");
    }
    bob.signal(welcome["peer"].as_str().unwrap(), json!(1)).await;
    assert_eq!(ada.next().await["data"], 1);
    let mut late = server.connect().await;
    late.send(&json!({"type": "hello", "room": "demo"})).await;
    let mut told = [late.next().await, late.next().await];
    told.sort_by_key(|frame| frame["type"].as_str().map(str::to_owned));
    assert_eq!((&told[0]["code"], &told[1]["type"]), (&json!("busy"), &json!("goaway")));
    let mut again = server.connect().await;
    again.resume(&welcome, ada.seq).await;
    assert_eq!(again.next().await["type"], "resumed");
    assert!(server.stop().await);
}

#[tokio::test]
async fn the_counters_say_what_happened() {
    let server = Server::start(SignalConfig::default()).await;
    let (mut ada, welcome) = server.join("demo").await;
    let (mut bob, _) = server.join("demo").await;
    bob.signal(welcome["peer"].as_str().unwrap(), json!(1)).await;
    assert_eq!(ada.next().await["type"], "joined");
    assert_eq!(ada.next().await["type"], "signal");
    bob.signal("nobody", json!(1)).await;
    bob.expect_error("no_such_peer").await;
    let expected = [
        ("signal_connections_open", 2),
        ("signal_rooms", 1),
        ("signal_members", 2),
        ("signal_joins", 2),
        ("signal_signals", 1),
        ("signal_refusals", 1),
        ("signal_connections_ended", 0),
        ("http_connections", 2),
    ];
    for (name, value) in expected {
        server.expect_counter(name, value).await;
    }
}
