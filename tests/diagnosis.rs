//! Why a pair isn't connected, with what both clients report and what the relay has refused:
//! through the real binary.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "support/seat.rs"]
mod seat;
mod support;

use futures_util::SinkExt as _;
use heliograph_base::{Credentials, Secret, UnixTime, Username};
use relay_core::wire::Method;
use seat::Member;
use serde_json::{Value, json};
use support::{Heliograph, get};
use tokio_tungstenite::tungstenite::Message;

const SECRET: &str = "a secret that both halves know";

fn start() -> Heliograph {
    Heliograph::start(&["--http", "127.0.0.1:0", "--turn", "127.0.0.1:0", "--turn-secret", SECRET])
}

async fn send(member: &mut Member, frame: &Value) {
    member.socket.send(Message::text(frame.to_string())).await.unwrap();
}

async fn report(member: &mut Member, peer: &str, link: &Value) {
    send(member, &json!({"type": "report", "peer": peer, "link": link})).await;
    // Frames of one connection are carried out in order: now it is known.
    send(member, &json!({"type": "ping"})).await;
    member.next("pong").await;
}

async fn diagnose(member: &mut Member, peer: &str) -> Value {
    send(member, &json!({"type": "diagnose", "peer": peer, "id": 7})).await;
    member.next("diagnosis").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_credential_is_named_by_who_refused_it() {
    let server = start();
    let mut ada = Member::join(&server, "demo").await;
    let mut bob = Member::join(&server, "demo").await;
    assert!(ada.turn(server.turn()).request(Method::Allocate));
    // He has kept the credentials of his seat for too long.
    let holder = Username::parse(&bob.username).unwrap().holder.to_owned();
    let secret = Secret::from_text(SECRET).unwrap();
    let old = Credentials::mint(&secret, UnixTime::from_seconds(1), holder);
    (bob.username, bob.password) = (old.username, old.password);
    assert!(!bob.turn(server.turn()).request(Method::Allocate));

    let (of_ada, of_bob) = (ada.peer.clone(), bob.peer.clone());
    let failed = json!({"state": "failed", "for_s": 20.5});
    report(&mut ada, &of_bob, &failed).await;
    report(&mut bob, &of_ada, &failed).await;
    let told = diagnose(&mut ada, &of_bob).await;
    assert_eq!((&told["verdict"], &told["side"]), (&json!("turn_expired"), &json!("theirs")));
    let text = told["text"].as_str().unwrap();
    let expected = format!("{of_bob}: TURN credential expired ");
    assert!(text.starts_with(&expected) && text.ends_with(" days ago"), "{text}");
    assert_eq!(told["relay"]["yours"]["allocations"], 1);
    assert_eq!(told["relay"]["theirs"]["refusals"][0]["reason"], "expired");
    // The other sees the same from its side.
    let told = diagnose(&mut bob, &of_ada).await;
    assert_eq!((&told["verdict"], &told["side"]), (&json!("turn_expired"), &json!("yours")));

    let metrics = get(server.http(), "/metrics");
    for line in [
        "heliograph_pairs{path=\"failed\"} 1\n",
        "heliograph_pairs{path=\"direct\"} 0\n",
        "heliograph_diagnoses_total{verdict=\"turn_expired\"} 2\n",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_relay_it_says_that_none_is_offered() {
    let server = Heliograph::start(&["signal", "--http", "127.0.0.1:0"]);
    let mut ada = Member::join(&server, "demo").await;
    let bob = Member::join(&server, "demo").await;
    let failed = json!({"state": "failed", "for_s": 20.5, "answered": true});
    report(&mut ada, &bob.peer, &failed).await;
    let told = diagnose(&mut ada, &bob.peer).await;
    assert_eq!((&told["verdict"], told.get("relay")), (&json!("no_relay_offered"), None));
}
