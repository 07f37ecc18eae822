//! What becomes of the relay's allocations when their peers leave: the signaling half tells the
//! relay half, through the real binary.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "support/seat.rs"]
mod seat;
mod support;

use futures_util::SinkExt as _;
use relay_core::wire::Method;
use seat::{Member, PATIENCE};
use serde_json::json;
use std::time::Duration;
use support::{Heliograph, get};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;

async fn wait_for_allocations(server: &Heliograph, count: usize) {
    let wanted = format!("heliograph_relay_allocations {count}\n");
    let deadline = Instant::now() + PATIENCE;
    while !get(server.http(), "/metrics").contains(&wanted) {
        assert!(Instant::now() < deadline, "waited in vain for {count} allocations");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_takes_the_relay_back_and_losing_the_signaling_does_not() {
    let server = Heliograph::start(&["--http", "127.0.0.1:0", "--turn", "127.0.0.1:0"]);
    let ada = Member::join(&server, "demo").await;
    let mut bob = Member::join(&server, "demo").await;
    let (mut of_ada, mut of_bob) = (ada.turn(server.turn()), bob.turn(server.turn()));
    assert!(of_ada.request(Method::Allocate) && of_bob.request(Method::Allocate));
    wait_for_allocations(&server, 2).await;

    // Ada's connection breaks, and she doesn't come back.
    drop(ada);
    bob.next("away").await;
    assert!(of_ada.request(Method::Refresh), "her peer connections live on");
    assert_eq!(bob.next("left").await["reason"], "lost");
    assert!(of_ada.request(Method::Refresh), "and longer than her session");

    bob.socket.send(Message::text(json!({ "type": "leave" }).to_string())).await.unwrap();
    wait_for_allocations(&server, 1).await;
    assert!(!of_bob.request(Method::Refresh), "his allocation is gone");
    assert!(!of_bob.request(Method::Allocate), "and his credentials with it");
    assert!(of_ada.request(Method::Refresh), "she still has hers");
}
