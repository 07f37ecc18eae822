//! Reports and diagnoses over each transport, with a relay to ask and without.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use signal_server::{
    AskRelay, AtRelay, PairFacts, SeatAtRelay, SignalConfig, TurnReason, TurnRefusal,
};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use support::{Client, Server, patiently, unlimited};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Two members of one room, and their welcomes.
async fn pair(server: &Server) -> [(Client, Value); 2] {
    let (mut ada, welcome) = server.join("demo").await;
    let mut bob = server.connect().await;
    bob.send(&json!({"type": "hello", "room": "demo", "metadata": {"name": "bob"}})).await;
    let of_bob = bob.next().await;
    assert_eq!(ada.next().await["type"], "joined");
    [(ada, welcome), (bob, of_bob)]
}

fn report(about: &Value, link: &Value) -> Value {
    json!({"type": "report", "peer": about["peer"], "link": link})
}

fn diagnose(about: &Value, id: u64) -> Value {
    json!({"type": "diagnose", "peer": about["peer"], "id": id})
}

/// A relay that refused the second seat of each pair, since its credentials had expired.
fn relay() -> AskRelay {
    AskRelay(Arc::new(|facts: &PairFacts| {
        let theirs = facts.theirs.as_ref().map(|_| SeatAtRelay {
            refusals: vec![TurnRefusal {
                reason: TurnReason::Expired,
                ago_s: 3,
                count: 2,
                expired_s: Some(840),
            }],
            ..SeatAtRelay::default()
        });
        async move { Some(AtRelay { yours: None, theirs }) }.boxed()
    }))
}

#[tokio::test]
async fn what_both_report_and_the_relay_knows_makes_the_diagnosis() {
    let config = SignalConfig { ask_relay: Some(relay()), ..unlimited() };
    let server = Server::start(config).await;
    let [(mut ada, of_ada), (mut bob, of_bob)] = pair(&server).await;
    let link = json!({"state": "failed", "for_s": 20.5});
    bob.send(&report(&of_ada, &link)).await;
    bob.send(&json!({"type": "ping"})).await;
    assert_eq!(bob.next().await["type"], "pong", "the report isn't answered");
    ada.send(&report(&of_bob, &link)).await;
    ada.send(&diagnose(&of_bob, 7)).await;
    let told = ada.next().await;
    assert_eq!(told["type"], "diagnosis", "{told}");
    assert_eq!((&told["id"], &told["peer"]), (&json!(7), &of_bob["peer"]));
    assert_eq!((&told["verdict"], &told["side"]), (&json!("turn_expired"), &json!("theirs")));
    assert_eq!(told["text"], "bob: TURN credential expired 14 min ago");
    assert_eq!((&told["yours"], &told["theirs"]["state"]), (&link, &json!("failed")));
    assert_eq!(told["relay"]["theirs"]["refusals"][0]["count"], 2);
    server.expect_counter("diagnoses", 1).await;
    assert!(server.stop().await);
}

#[tokio::test]
async fn without_a_relay_the_diagnosis_does_without() {
    let server = Server::start(unlimited()).await;
    let [(mut ada, _), (_bob, of_bob)] = pair(&server).await;
    ada.send(&diagnose(&of_bob, 1)).await;
    let told = ada.next().await;
    assert_eq!((&told["verdict"], told.get("relay")), (&json!("connecting"), None));
    assert!(server.stop().await);
}

#[tokio::test]
async fn a_relay_that_never_answers_is_not_waited_for() {
    let never = AskRelay(Arc::new(|_: &PairFacts| pending().boxed()));
    let relay_answer_timeout = Duration::from_millis(1);
    let config = SignalConfig { ask_relay: Some(never), relay_answer_timeout, ..unlimited() };
    let server = Server::start(config).await;
    let [(mut ada, _), (_bob, of_bob)] = pair(&server).await;
    ada.send(&diagnose(&of_bob, 1)).await;
    assert_eq!(ada.next().await["type"], "diagnosis");
    assert!(server.stop().await);
}

#[tokio::test]
async fn a_connection_goes_on_while_the_relay_is_asked() {
    let never = AskRelay(Arc::new(|_: &PairFacts| pending().boxed()));
    let server = Server::start(SignalConfig {
        ask_relay: Some(never),
        relay_answer_timeout: Duration::from_secs(3600),
        ..unlimited()
    });
    let server = server.await;
    let [(mut ada, of_ada), (mut bob, of_bob)] = pair(&server).await;
    ada.send(&diagnose(&of_bob, 1)).await;
    bob.signal(of_ada["peer"].as_str().unwrap(), json!("hi")).await;
    assert_eq!(ada.next().await["data"], "hi");
    ada.send(&json!({"type": "ping"})).await;
    assert_eq!(ada.next().await["type"], "pong");
    assert!(server.stop().await);
}

#[tokio::test]
async fn a_post_is_answered_with_the_diagnosis() {
    let server = Server::start(SignalConfig { ask_relay: Some(relay()), ..unlimited() }).await;
    let [(ada, of_ada), (_bob, of_bob)] = pair(&server).await;
    drop(ada);
    let link = json!({"state": "failed"});
    let frames = json!([report(&of_bob, &link), diagnose(&of_bob, 7), diagnose(&of_bob, 8)]);
    let answer = post(&server, &of_ada, &frames).await;
    let told: Vec<_> = answer.iter().map(|frame| (&frame["type"], &frame["id"])).collect();
    let (diagnosis, ack) = (json!("diagnosis"), json!("ack"));
    let (one, other) = (json!(7), json!(8));
    let expected = [(&diagnosis, &one), (&diagnosis, &other), (&ack, &Value::Null)];
    assert_eq!(told, expected, "{answer:?}");
    assert_eq!((&answer[0]["verdict"], &answer[0]["yours"]), (&json!("turn_expired"), &link));
    assert!(server.stop().await);
}

#[tokio::test]
async fn too_many_questions_and_bad_reports_are_refused() {
    let server = Server::start(unlimited()).await;
    let [(mut ada, of_ada), (_bob, of_bob)] = pair(&server).await;
    ada.send(&report(&of_bob, &json!({"later": "x".repeat(2048)}))).await;
    ada.expect_error("bad_frame").await;
    ada.send(&report(&of_bob, &json!({"state": 7}))).await;
    ada.expect_error("bad_frame").await;
    ada.send(&report(&json!({"peer": "no such id"}), &json!({}))).await;
    ada.send(&diagnose(&of_ada, 1)).await;
    assert_eq!(ada.expect_error("no_such_peer").await["id"], 1);
    for id in 2..5 {
        ada.send(&diagnose(&of_bob, id)).await;
        assert_eq!(ada.next().await["type"], "diagnosis");
    }
    ada.send(&diagnose(&of_bob, 5)).await;
    let refused = ada.expect_error("rate_limited").await;
    assert!(refused["retry_after_ms"].is_u64() && refused["retry"] == true, "{refused}");
    assert!(server.stop().await);
}

/// Sends frames of a session by `POST /v1/send`; the frames of the answer.
async fn post(server: &Server, welcome: &Value, frames: &Value) -> Vec<Value> {
    let (session, key) = (welcome["session"].as_str().unwrap(), welcome["key"].as_str().unwrap());
    let body = frames.to_string();
    let request = format!(
        "POST /v1/send?session={session} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         authorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    patiently(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(body).unwrap()
}
