//! SIGTERM with time to drain, through the real binary.

mod support;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Heliograph, get};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_server_that_drains_says_so_and_ends_when_all_have_gone() {
    let flags = ["--http", "127.0.0.1:0", "--drain-s", "600", "--goaway-url", "wss://other"];
    let server = Heliograph::start(&[&["signal"], &flags[..]].concat());
    let url = server.announced("WebSocket").to_owned();
    let (mut socket, _) = connect_async(&url).await.unwrap();
    let hello = json!({"type": "hello", "room": "demo"}).to_string();
    socket.send(Message::text(hello)).await.unwrap();
    let mut next = async || loop {
        let message = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str::<Value>(&text).unwrap();
        }
    };
    assert_eq!(next().await["type"], "welcome");
    server.signal("TERM");
    let goaway = next().await;
    assert_eq!((&goaway["type"], &goaway["url"]), (&json!("goaway"), &json!("wss://other")));
    assert!(get(server.http(), "/readyz").starts_with("HTTP/1.1 503 "));
    assert!(get(server.http(), "/livez").starts_with("HTTP/1.1 200 "));
    drop(socket);
    let (status, logs) = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert!(status.success(), "{logs}");
}

#[tokio::test]
async fn ctrl_c_does_not_wait() {
    let server = Heliograph::start(&["signal", "--http", "127.0.0.1:0", "--drain-s", "600"]);
    let (socket, _) = connect_async(server.announced("WebSocket")).await.unwrap();
    server.signal("INT");
    let (status, logs) = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert!(status.success(), "{logs}");
    drop(socket);
}
