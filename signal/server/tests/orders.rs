//! What an operator asks of a running server.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::json;
use signal_server::{PeerId, RoomId, SignalConfig};
use std::time::Duration;
use support::{Bystanders, Server, patiently, unlimited};

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

fn peer(welcome: &serde_json::Value) -> PeerId {
    PeerId::parse(welcome["peer"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn who_is_kicked_is_closed_with_4104_and_the_others_go_on() {
    let server = Server::start(unlimited()).await;
    let bystanders = Bystanders::start(&server).await;
    let (mut ada, _) = server.join("demo").await;
    let (bob, of_bob) = server.join("demo").await;
    assert_eq!(ada.next().await["type"], "joined");
    let seat = patiently(server.signal.kick(room("demo"), peer(&of_bob))).await.unwrap();
    assert!(seat.is_some());
    let left = json!({"type": "left", "peer": of_bob["peer"], "reason": "kicked"});
    assert_eq!(ada.next().await, left);
    bob.expect_close(4104).await;
    assert_eq!(patiently(server.signal.kick(room("demo"), peer(&of_bob))).await, Ok(None));
    server.expect_counter("signal_members", 3).await;
    bystanders.stop().await;
    assert!(server.stop().await);
}

#[tokio::test]
async fn a_closed_room_closes_with_4103() {
    let server = Server::start(unlimited()).await;
    let bystanders = Bystanders::start(&server).await;
    let (ada, _) = server.join("demo").await;
    let (bob, of_bob) = server.join("demo").await;
    assert_eq!(patiently(server.signal.close_room(room("demo"))).await, Ok(Some(2)));
    ada.expect_close(4103).await;
    bob.expect_close(4103).await;
    assert_eq!(patiently(server.signal.close_room(room("demo"))).await, Ok(None));
    let mut again = server.connect().await;
    again.resume(&of_bob, 1).await;
    again.expect_error("no_such_session").await;
    bystanders.stop().await;
    assert!(server.stop().await);
}

#[tokio::test]
async fn rooms_of_all_shards_are_listed_in_one_order() {
    let server = Server::start(SignalConfig { shards: 3, ..unlimited() }).await;
    let names: Vec<String> = (0..20).map(|number| format!("room-{number:02}")).collect();
    let mut members = Vec::new();
    for name in names.iter().rev() {
        members.push(server.join(name).await);
    }
    let listed = async |after: Option<&str>, limit: usize| -> Vec<String> {
        let rooms = server.signal.rooms(after.map(room), limit);
        let rooms = patiently(rooms).await.unwrap();
        rooms.iter().map(|info| info.room.to_string()).collect()
    };
    assert_eq!(listed(None, 100).await, names);
    assert_eq!(listed(None, 7).await, names[..7]);
    assert_eq!(listed(Some("room-06"), 7).await, names[7..14]);
    let details = async |name| patiently(server.signal.room_details(room(name))).await.unwrap();
    let there = details("room-07").await.unwrap();
    assert_eq!((there.info.members, there.members.len(), there.pairs.len()), (1, 1, 0));
    assert!(details("nowhere").await.is_none());
    drop(members);
}

#[tokio::test]
async fn an_end_that_is_announced_anew_is_told_anew() {
    let server = Server::start(unlimited()).await;
    let (mut ada, _) = server.join("demo").await;
    server.signal.drain(Duration::from_secs(600), None);
    let goaway = ada.next().await;
    assert_eq!(goaway["type"], "goaway");
    assert!(goaway["deadline_s"].as_u64().is_some_and(|left| left > 60), "{goaway}");
    let url = "wss://other.example.org".to_owned();
    server.signal.drain(Duration::from_secs(60), Some(url.clone()));
    let goaway = ada.next().await;
    assert_eq!((&goaway["type"], &goaway["url"]), (&json!("goaway"), &json!(url)));
    assert!(goaway["deadline_s"].as_u64().is_some_and(|left| left <= 60), "{goaway}");
    for _ in 0..100 {
        ada.send(&json!({"type": "ping"})).await;
        assert_eq!(ada.next().await["type"], "pong", "it is told once");
    }
}

#[tokio::test]
async fn who_waits_for_the_word_gets_the_newest() {
    // One client a second: the last one's turn is in four.
    let slow = SignalConfig { goaway_per_s: 1, ..unlimited() };
    let server = Server::start(slow).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let (mut client, _) = server.join("demo").await;
        for other in &mut clients {
            let other: &mut support::Client = other;
            assert_eq!(other.next().await["type"], "joined");
        }
        client.send(&json!({"type": "ping"})).await;
        assert_eq!(client.next().await["type"], "pong");
        clients.push(client);
    }
    server.signal.drain(Duration::from_secs(86_400), None);
    let told = clients.iter_mut().map(|client| Box::pin(client.next()));
    assert!(futures_util::future::select_all(told).await.0["url"].is_null());
    server.signal.drain(Duration::ZERO, Some("wss://other.example.org".to_owned()));
    let mut first = Vec::new();
    for client in &mut clients {
        first.push(client.next().await["url"].clone());
    }
    let old = first.iter().filter(|url| url.is_null()).count();
    assert!(old < 4, "all had to wait for their turn of before: {first:?}");
}
