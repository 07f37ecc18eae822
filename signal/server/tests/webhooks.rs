//! What a service is told of what happens in rooms, from outside.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use heliograph_base::{Secret, UnixTime};
use serde_json::{Value, json};
use signal_server::{
    HookConfig, HookEvent, HttpClient, RoomId, SIGNATURE, SignalConfig, signature,
};
use std::collections::HashSet;
use std::time::Duration;
use support::receiver::{Does, Receiver};
use support::{Client, PATIENCE, Server, patiently, unlimited};

/// A server that tells this service, and doesn't wait long to try again.
async fn serve(receiver: &Receiver, change: impl FnOnce(&mut HookConfig)) -> Server {
    let url = receiver.url.parse().unwrap();
    let mut hook = HookConfig::new(url, HttpClient::new(None).unwrap());
    hook.pause = Duration::from_millis(1);
    (hook.timeout, hook.shutdown_max) = (PATIENCE, PATIENCE);
    change(&mut hook);
    Server::start(SignalConfig { hook: Some(Box::new(hook)), ..unlimited() }).await
}

async fn join(server: &Server, room: &str, metadata: Value) -> (Client, String) {
    let mut client = server.connect().await;
    client.send(&json!({"type": "hello", "room": room, "metadata": metadata})).await;
    let peer = client.next().await["peer"].as_str().unwrap().to_owned();
    (client, peer)
}

async fn leave(mut client: Client) {
    client.send(&json!({"type": "leave"})).await;
    client.expect_close(1000).await;
}

/// Takes out what differs from run to run, having looked at it.
fn plain(mut event: Value) -> Value {
    let fields = event.as_object_mut().unwrap();
    assert!(fields.remove("id").is_some_and(|id| id.as_str().unwrap().contains('.')));
    assert!(fields.remove("at").unwrap().as_u64().unwrap() > 1_700_000_000);
    if let Some(seat) = fields.remove("seat") {
        assert!(seat.as_str().unwrap().parse::<u64>().is_ok());
    }
    event
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_room_is_told_from_its_first_member_to_its_last_in_order() {
    let receiver = Receiver::start(|_| Does::Answers(200)).await;
    let server = serve(&receiver, |hook| hook.metadata = true).await;
    let (ada, of_ada) = join(&server, "demo", json!({"name": "ada"})).await;
    let (bob, of_bob) = join(&server, "demo", json!({})).await;
    leave(ada).await;
    server.signal.close_room(RoomId::parse("demo").unwrap()).await.unwrap();
    bob.expect_close(4103).await;
    server.expect_counter("signal_webhook_delivered", 6).await;
    let events = receiver.events();
    assert_eq!(ids(&events).into_iter().collect::<HashSet<_>>().len(), 6, "no two ids are equal");
    let told: Vec<Value> = events.into_iter().map(plain).collect();
    let joined = |peer: &str, metadata: Value, members: u64| {
        json!({"event": "joined", "room": "demo", "peer": peer, "metadata": metadata,
               "members": members})
    };
    let left = |peer: &str, reason: &str, members: u64| {
        json!({"event": "left", "room": "demo", "peer": peer, "reason": reason,
               "members": members})
    };
    let expected = [
        json!({"event": "room_opened", "room": "demo", "members": 0}),
        joined(&of_ada, json!({"name": "ada"}), 1),
        joined(&of_bob, json!({}), 2),
        left(&of_ada, "left", 1),
        left(&of_bob, "closed", 0),
        json!({"event": "room_closed", "room": "demo", "members": 0}),
    ];
    assert_eq!(told, expected);
    server.expect_counter("signal_webhook_waiting", 0).await;
}

#[tokio::test]
async fn it_is_told_only_what_it_asked_for() {
    let receiver = Receiver::start(|_| Does::Answers(200)).await;
    let server = serve(&receiver, |hook| hook.events = vec![HookEvent::Joined]).await;
    for room in ["ash", "birch"] {
        let (client, _) = join(&server, room, json!({"name": "ada"})).await;
        leave(client).await;
    }
    server.expect_counter("signal_members", 0).await;
    assert!(server.stop().await, "the end waits for what is under way");
    let told: Vec<_> = receiver.events().into_iter().map(plain).collect();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|event| event["event"] == "joined" && event["metadata"].is_null()));
}

#[tokio::test]
async fn each_attempt_is_signed_anew() {
    let receiver =
        Receiver::start(|number| Does::Answers(if number < 2 { 429 } else { 202 })).await;
    let secret = || Secret::from_text("north").unwrap();
    let server = serve(&receiver, |hook| hook.secret = Some(secret())).await;
    let _client = server.join("demo").await;
    server.expect_counter("signal_webhook_delivered", 2).await;
    for delivery in receiver.came() {
        let signed = &delivery.headers[SIGNATURE];
        let at = signed.strip_prefix("t=").unwrap().split(',').next().unwrap();
        let at = UnixTime::from_seconds(at.parse().unwrap());
        assert_eq!(*signed, signature(&secret(), at, delivery.body.as_bytes()));
        assert_eq!(delivery.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn what_fails_is_tried_again_with_the_same_ids_and_nothing_overtakes_it() {
    let receiver = Receiver::start(|number| match number % 4 {
        0 => Does::Answers(500),
        1 => Does::Breaks,
        2 => Does::Answers(302),
        _ => Does::Answers(200),
    })
    .await;
    let server = serve(&receiver, |hook| {
        (hook.batch_max, hook.attempts_max) = (2, 4);
    })
    .await;
    for _ in 0..5 {
        let (client, _) = join(&server, "demo", json!({})).await;
        leave(client).await;
    }
    server.expect_counter("signal_webhook_delivered", 20).await;
    let mut came = Vec::new();
    for tries in receiver.came().chunks(4) {
        assert!(tries.iter().all(|one| one.body == tries[0].body));
        let events = tries[0].events();
        assert!(events.len() <= 2);
        came.extend(events);
    }
    let names: Vec<_> = came.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let one = ["room_opened", "joined", "left", "room_closed"];
    assert_eq!(names, one.repeat(5));
    assert_eq!(ids(&came).into_iter().collect::<HashSet<_>>().len(), 20);
    assert_eq!(server.counter("signal_webhook_dropped"), 0);
    assert_eq!(server.counter("signal_webhook_retries") as usize, receiver.came().len() / 4 * 3);
}

#[tokio::test]
async fn a_service_that_never_answers_holds_up_nobody_and_learns_of_the_hole() {
    let (answer, answers) = tokio::sync::watch::channel(false);
    let receiver = Receiver::start(move |_| match *answers.borrow() {
        true => Does::Answers(200),
        false => Does::Waits,
    })
    .await;
    let server = serve(&receiver, |hook| {
        (hook.waiting_max, hook.lanes, hook.batch_max) = (16, 1, 8);
        hook.attempts_max = u32::MAX;
        hook.events = vec![HookEvent::Joined];
        hook.timeout = Duration::from_secs(1);
    })
    .await;
    let mut clients = Vec::new();
    for number in 0..1000 {
        clients.push(server.join(&format!("room-{}", number / 4)).await.0);
    }
    assert!(server.counter("signal_webhook_waiting") <= 16 + 8);
    let lost = server.counter("signal_webhook_dropped");
    assert!(lost >= 1000 - 16 - 8, "{lost}");
    answer.send(true).unwrap();
    server.expect_counter("signal_webhook_waiting", 0).await;
    let _last = server.join("last").await;
    server.expect_counter("signal_webhook_waiting", 0).await;
    let events = receiver.events();
    let mut seen = HashSet::new();
    let fresh: Vec<_> = events.iter().filter(|event| seen.insert(event["id"].as_str())).collect();
    let told: u64 = fresh.iter().filter_map(|event| event["dropped"].as_u64()).sum();
    let joined = fresh.iter().filter(|event| event["event"] == "joined").count() as u64;
    assert_eq!((told + joined, told), (1001, server.counter("signal_webhook_dropped")));
}

#[tokio::test]
async fn what_waits_is_delivered_before_the_end() {
    let receiver =
        Receiver::start(|number| Does::Answers(if number == 0 { 500 } else { 200 })).await;
    let server = serve(&receiver, |hook| {
        hook.lanes = 1;
        // So long that only the end can cut it short.
        (hook.pause, hook.pause_max) = (Duration::from_secs(3600), Duration::from_secs(3600));
    })
    .await;
    let (first, _) = join(&server, "demo", json!({})).await;
    patiently(async {
        while receiver.came().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (second, _) = join(&server, "demo", json!({})).await;
    leave(second).await;
    leave(first).await;
    server.expect_counter("signal_rooms", 0).await;
    assert!(server.stop().await);
    let events = receiver.events();
    let last = events.last().map(|event| event["event"].clone());
    assert_eq!(last, Some("room_closed".into()), "{events:?}");
}
