//! What the real binary tells a service, and what it refuses to.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;
use support::{Heliograph, get, run};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

const PATIENCE: Duration = Duration::from_secs(30);

/// A service that takes all: where it is, and what comes with its signature.
fn service() -> (String, mpsc::Receiver<(String, Vec<Value>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::sync_channel(100);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut signed, mut line) = (0, String::new(), String::new());
            while stream.read_line(&mut line).unwrap_or(0) > 2 {
                let (name, value) = line.trim().split_once(": ").unwrap_or_default();
                match name {
                    "content-length" => length = value.parse().unwrap(),
                    "heliograph-signature" => signed = value.to_owned(),
                    _ => {}
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            sender.send((signed, serde_json::from_slice(&body).unwrap())).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
        }
    });
    (url, receiver)
}

#[tokio::test]
async fn a_service_is_told_who_joins_and_the_counters_say_so() {
    let name = format!("heliograph-{}-webhook-secret", std::process::id());
    let secret = std::env::temp_dir().join(name);
    std::fs::write(&secret, "northnorthnorthnorth\n").unwrap();
    let (url, told) = service();
    let server = Heliograph::start(&[
        "signal",
        "--http",
        "127.0.0.1:0",
        "--webhook-url",
        &url,
        "--webhook-secret-file",
        secret.to_str().unwrap(),
        "--webhook-events",
        "joined,left",
        "--webhook-metadata",
    ]);
    let (mut socket, _) = connect_async(server.announced("WebSocket")).await.unwrap();
    let hello = json!({"type": "hello", "room": "demo", "metadata": {"name": "ada"}}).to_string();
    socket.send(Message::text(hello)).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let (signed, events) = told.recv_timeout(PATIENCE).unwrap();
    assert!(signed.starts_with("t=") && signed.contains(",v1="), "{signed}");
    let [joined] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&joined["event"], &joined["room"]), (&json!("joined"), &json!("demo")));
    assert_eq!(joined["metadata"], json!({"name": "ada"}));
    socket.send(Message::text(r#"{"type":"leave"}"#)).await.unwrap();
    let (_, events) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!((events.len(), &events[0]["reason"]), (1, &json!("left")));
    let metrics = get(server.http(), "/metrics");
    assert!(metrics.contains("heliograph_signal_webhook_waiting"), "{metrics}");
    assert!(metrics.contains("heliograph_signal_webhook_dropped_total{why=\"full\"} 0"));
    std::fs::remove_file(secret).unwrap();
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    let url = "--webhook-url=http://127.0.0.1:1/";
    for (arguments, named) in [
        (&["--webhook-url", "http://example.org/"][..], "--webhook-url"),
        (&["--webhook-events", "joined"], "--webhook-events"),
        (&["--webhook-metadata"], "--webhook-metadata"),
        (&["--webhook-secret-file", "/no"], "--webhook-secret-file"),
        (&[url, "--webhook-secret-file", "/no/such/file"], "--webhook-secret-file"),
        (&[url, "--webhook-events", "joined,lost"], "--webhook-events"),
    ] {
        let (code, _, err) = run(arguments);
        assert_eq!((code, err.lines().count()), (2, 1), "{arguments:?}: {err}");
        assert!(err.contains(named), "{arguments:?}: {err}");
    }
}

#[test]
fn check_shows_what_is_told() {
    let flags = ["--check", "--webhook-url", "https://example.org/e", "--webhook-events", "left"];
    let (code, out, err) = run(&flags);
    assert_eq!(code, 0, "{err}");
    for line in [
        "webhook-url = \"https://example.org/e\"",
        "webhook-events = [\"left\"]",
        "webhook-metadata = false",
    ] {
        assert!(out.contains(line), "{line} is missing in\n{out}");
    }
}
