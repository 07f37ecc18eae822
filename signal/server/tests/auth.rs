//! Who is let in and for how long, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use heliograph_base::Clock;
use serde_json::{Value, json};
use signal_core::{AtExpiry, Config};
use signal_server::{
    AdmissionLimits, AuthConfig, HttpClient, KeySource, Keys, Mint, MintKey, SignalConfig,
    TokenConfig, WebhookConfig,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Client, Server, patiently, unlimited};
use tokio::sync::oneshot;

const SECRET: &[u8] = b"a secret of more than 32 bytes, for tests";

/// A server for who has a token, with no leeway.
fn config() -> SignalConfig {
    let keys = KeySource::Fixed(Arc::new(Keys::from_secret(SECRET).unwrap()));
    let config = TokenConfig { leeway: Duration::ZERO, ..TokenConfig::new(keys) };
    SignalConfig { auth: AuthConfig::Tokens(config), ..unlimited() }
}

fn token(mint: &Mint) -> String {
    let key = MintKey::from_secret(SECRET).unwrap();
    key.mint(Clock::start().now().unix, mint).unwrap()
}

/// For ten minutes.
fn lasting() -> Mint {
    Mint { ttl: Duration::from_secs(600), ..Mint::default() }
}

/// Ends about now; a session that it has got ends in a moment.
fn ending() -> Mint {
    Mint { ttl: Duration::from_secs(2), ..Mint::default() }
}

fn of(subject: &str) -> Mint {
    Mint { subject: Some(subject.to_owned()), ..lasting() }
}

fn hello(room: &str, token: &str) -> Value {
    json!({"type": "hello", "room": room, "token": token, "id": 9})
}

async fn join(server: &Server, room: &str, mint: &Mint) -> (Client, Value) {
    let mut client = server.connect().await;
    client.send(&hello(room, &token(mint))).await;
    let welcome = client.next().await;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    (client, welcome)
}

/// A `POST /v1/send`: status, head and body.
async fn post_frames(
    server: &Server,
    query: &str,
    key: &str,
    body: &Value,
) -> (u16, String, Value) {
    let body = body.to_string();
    let length = body.len();
    let answer = server
        .exchange(&format!(
            "POST /v1/send{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             authorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn a_token_lets_in_and_says_who_comes() {
    let server = Server::start(config()).await;
    let host = Mint { peer: Some("ada".into()), role: Some("host".into()), ..lasting() };
    let (mut ada, welcome) = join(&server, "demo", &host).await;
    assert_eq!((&welcome["peer"], &welcome["role"]), (&json!("ada"), &json!("host")));
    assert_eq!(welcome["session"], "demo:ada");
    assert!((590..=600).contains(&welcome["token_ttl_s"].as_u64().unwrap()), "{welcome}");
    let (mut bob, welcome) = join(&server, "demo", &lasting()).await;
    assert_eq!(welcome["members"][0]["role"], "host");
    assert_eq!(ada.next().await["type"], "joined");
    bob.signal("ada", json!(7)).await;
    assert_eq!(ada.next().await["data"], 7);

    let mut other = server.connect().await;
    other.send(&hello("demo", &token(&host))).await;
    let error = other.expect_error("peer_taken").await;
    assert_eq!((&error["retry"], &error["id"]), (&json!(true), &json!(9)));
    // The shard has refused it; on the same connection it may come with another token.
    for _ in 0..3 {
        other.send(&hello("demo", &token(&host))).await;
        other.expect_error("peer_taken").await;
    }
    other.send(&hello("demo", &token(&lasting()))).await;
    assert_eq!(other.next().await["type"], "welcome");
}

#[tokio::test]
async fn without_a_good_one_nobody_gets_in_and_is_told_why() {
    let server = Server::start(config()).await;
    let mut client = server.connect().await;
    client.send(&json!({"type": "hello", "room": "demo"})).await;
    let error = client.expect_error("unauthorized").await;
    assert!(error["text"].as_str().unwrap().contains("a token is needed"), "{error}");
    client.send(&hello("demo", "rubbish")).await;
    client.expect_error("unauthorized").await;
    let elsewhere = Mint { rooms: vec!["game-*".to_owned()], ..lasting() };
    client.send(&hello("demo", &token(&elsewhere))).await;
    client.expect_error("forbidden").await;
    // It may still come with a better one.
    client.send(&hello("game-7", &token(&elsewhere))).await;
    assert_eq!(client.next().await["type"], "welcome");
    server.expect_counter("signal_refusals", 3).await;
    server.expect_counter("signal_joins", 1).await;
}

#[tokio::test]
async fn the_same_goes_for_posts() {
    let server = Server::start(config()).await;
    let without = json!({"type": "hello", "room": "demo"});
    let (status, head, error) = post_frames(&server, "", "", &without).await;
    assert_eq!((status, &error["code"]), (401, &json!("unauthorized")));
    assert!(head.contains("www-authenticate: Bearer"), "{head}");
    let elsewhere = Mint { rooms: vec!["other".to_owned()], ..lasting() };
    let (status, _, error) = post_frames(&server, "", "", &hello("demo", &token(&elsewhere))).await;
    assert_eq!((status, &error["code"]), (403, &json!("forbidden")));

    let (_, _, frames) = post_frames(&server, "", "", &hello("demo", &token(&of("ada")))).await;
    let welcome = &frames[0];
    let query = format!("?session={}", welcome["session"].as_str().unwrap());
    let key = welcome["key"].as_str().unwrap();
    // A session needs no token to go on, but a newer one if it has one.
    let newer = json!({"type": "token", "token": token(&of("ada")), "id": 3});
    let (status, _, frames) = post_frames(&server, &query, key, &newer).await;
    assert_eq!((status, &frames[0]["type"], &frames[0]["id"]), (200, &json!("token"), &json!(3)));
    for (newer, code) in [(token(&of("bob")), "forbidden"), ("x".to_owned(), "unauthorized")] {
        let newer = json!([{"type": "token", "token": newer, "id": 4}, {"type": "ping"}]);
        let (_, _, frames) = post_frames(&server, &query, key, &newer).await;
        let codes: Vec<_> = frames.as_array().unwrap().iter().map(|it| &it["code"]).collect();
        assert!(codes.contains(&&json!(code)), "{frames}");
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token_unless_that_is_renewed() {
    let server = Server::start(config()).await;
    let (mut ada, _) =
        join(&server, "demo", &Mint { subject: Some("ada".into()), ..ending() }).await;
    let newer = json!({"type": "token", "token": token(&of("ada")), "id": 5});
    ada.send(&newer).await;
    let answer = ada.next().await;
    assert_eq!((&answer["type"], &answer["id"]), (&json!("token"), &json!(5)));
    // Whose token ends no sooner than ada's first one.
    let (bob, welcome) = join(&server, "demo", &ending()).await;
    assert_eq!(ada.next().await["type"], "joined");
    bob.expect_close(4102).await;
    let left = json!({"type": "left", "peer": welcome["peer"], "reason": "expired"});
    assert_eq!(ada.next().await, left);
    let mut again = server.connect().await;
    again.resume(&welcome, 1).await;
    again.expect_error("no_such_session").await;
    ada.send(&json!({"type": "ping"})).await;
    assert_eq!(ada.next().await["type"], "pong");
}

#[tokio::test]
async fn a_session_may_be_allowed_to_outlive_its_token() {
    let hub = Config { at_expiry: AtExpiry::Keep, ..support::unpaced() };
    let server = Server::start(SignalConfig { hub, ..config() }).await;
    let (mut ada, _) = join(&server, "demo", &ending()).await;
    // Until a new seat can't be had with a token that is as old.
    let old = token(&ending());
    let mut client = server.connect().await;
    let refused = async {
        loop {
            client.send(&hello("other", &old)).await;
            let answer = client.next().await;
            if answer["code"] == "unauthorized" {
                return answer;
            }
            client = server.connect().await;
        }
    };
    let refused = patiently(refused).await;
    assert!(refused["text"].as_str().unwrap().contains("expired"), "{refused}");
    ada.send(&json!({"type": "ping"})).await;
    assert_eq!(ada.next().await["type"], "pong");
}

#[tokio::test]
async fn in_an_open_server_tokens_are_not_looked_at() {
    let server = Server::start(unlimited()).await;
    let mut client = server.connect().await;
    client.send(&hello("demo", "rubbish")).await;
    assert_eq!(client.next().await["type"], "welcome");
    client.send(&json!({"type": "token", "token": "rubbish", "id": 1})).await;
    assert_eq!(client.next().await, json!({"type": "token", "id": 1}));
}

#[tokio::test]
async fn a_subject_has_so_many_sessions_and_gets_them_back() {
    let SignalConfig { admission, .. } = unlimited();
    let admission = AdmissionLimits { subject_sessions_max: 2, ..admission };
    let server = Server::start(SignalConfig { admission, ..config() }).await;
    let (first, _) = join(&server, "demo", &of("ada")).await;
    let (_second, _) = join(&server, "other", &of("ada")).await;
    let mut third = server.connect().await;
    third.send(&hello("demo", &token(&of("ada")))).await;
    let error = third.expect_error("rate_limited").await;
    assert!(error["retry_after_ms"].as_u64().unwrap() > 0, "{error}");
    let (_bob, _) = join(&server, "demo", &of("bob")).await;
    drop(first);
    // A session lasts for a while without a connection; who leaves it gives it back.
    third.send(&hello("demo", &token(&of("ada")))).await;
    third.expect_error("rate_limited").await;
    let (mut fourth, _) = join(&server, "demo", &of("carol")).await;
    let (fifth, _) = join(&server, "demo", &of("carol")).await;
    fourth.send(&json!({"type": "leave"})).await;
    fourth.expect_close(1000).await;
    let (_sixth, _) = join(&server, "demo", &of("carol")).await;
    drop(fifth);
}

#[tokio::test]
async fn a_subject_joins_at_its_rate() {
    let SignalConfig { admission, .. } = unlimited();
    let admission = AdmissionLimits {
        subject_joins_per_s: 1,
        subject_joins_burst: 2,
        subject_sessions_max: 0,
        ..admission
    };
    let server = Server::start(SignalConfig { admission, ..config() }).await;
    let anonymous = token(&lasting());
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.send(&hello("demo", &anonymous)).await;
        outcomes.push(client.next().await["type"].clone());
    }
    assert_eq!(outcomes, ["welcome", "welcome", "error"], "a token without sub counts for itself");
    join(&server, "demo", &of("ada")).await;
}

#[tokio::test]
async fn bad_tokens_use_up_the_rate_of_their_address() {
    let SignalConfig { admission, .. } = unlimited();
    let admission = AdmissionLimits { address_joins_per_s: 1, address_joins_burst: 3, ..admission };
    let server = Server::start(SignalConfig { admission, ..config() }).await;
    let mut client = server.connect().await;
    for code in ["unauthorized", "unauthorized", "unauthorized", "rate_limited"] {
        client.send(&hello("demo", "rubbish")).await;
        client.expect_error(code).await;
    }
}

/// A service that is asked who gets in, and answers when it is told to.
struct Service {
    answers: Arc<Mutex<Vec<oneshot::Receiver<Value>>>>,
    config: SignalConfig,
}

impl Service {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/auth", listener.local_addr().unwrap());
        let answers: Arc<Mutex<Vec<oneshot::Receiver<Value>>>> = Arc::default();
        let of_route = answers.clone();
        let route = post(move |_: Bytes| async move {
            let answer = of_route.lock().unwrap().remove(0);
            answer.await.unwrap().to_string()
        });
        let router = Router::new().route("/auth", route);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = HttpClient::new(None).unwrap();
        let webhook = WebhookConfig::new(url.parse().unwrap(), client);
        let config = SignalConfig { auth: AuthConfig::Webhook(Box::new(webhook)), ..unlimited() };
        Self { answers, config }
    }

    /// The next answer, to be given later.
    fn will_answer(&self) -> oneshot::Sender<Value> {
        let (sender, receiver) = oneshot::channel();
        self.answers.lock().unwrap().push(receiver);
        sender
    }

    fn answers(&self, answer: Value) {
        self.will_answer().send(answer).unwrap();
    }
}

#[tokio::test]
async fn a_service_lets_in_or_refuses() {
    let service = Service::start().await;
    let server = Server::start(service.config.clone()).await;
    let mut client = server.connect().await;
    service.answers(json!({"admit": false, "text": "come back tomorrow"}));
    client.send(&json!({"type": "hello", "room": "demo"})).await;
    assert_eq!(client.expect_error("forbidden").await["text"], "come back tomorrow");
    service.answers(json!({"admit": true, "peer": "ada", "role": "host", "expires_in_s": 60}));
    client.send(&hello("demo", "opaque")).await;
    let welcome = client.next().await;
    assert_eq!(welcome["peer"], "ada");
    assert!((50..=60).contains(&welcome["token_ttl_s"].as_u64().unwrap()), "{welcome}");
}

#[tokio::test]
async fn a_service_that_fails_lets_nobody_in_and_says_when_to_come_again() {
    let service = Service::start().await;
    let server = Server::start(service.config.clone()).await;
    let mut client = server.connect().await;
    service.answers(json!({"admit": "perhaps"}));
    client.send(&json!({"type": "hello", "room": "demo"})).await;
    let error = client.expect_error("auth_unavailable").await;
    assert_eq!((&error["retry"], &error["retry_after_ms"]), (&json!(true), &json!(2000)));
    service.answers(json!([]));
    let hello = json!({"type": "hello", "room": "demo"});
    let (status, head, _) = post_frames(&server, "", "", &hello).await;
    assert_eq!((status, head.contains("retry-after: 2")), (503, true), "{head}");
    server.expect_counter("signal_auth_failures", 2).await;
    server.expect_counter("signal_joins", 0).await;
}

#[tokio::test]
async fn a_session_goes_on_while_its_newer_token_is_checked() {
    let service = Service::start().await;
    let server = Server::start(service.config.clone()).await;
    let mut clients = Vec::new();
    for peer in ["ada", "bob"] {
        service.answers(json!({"admit": true, "peer": peer, "subject": peer}));
        let mut client = server.connect().await;
        client.send(&json!({"type": "hello", "room": "demo"})).await;
        assert_eq!(client.next().await["type"], "welcome");
        clients.push(client);
    }
    let (mut bob, mut ada) = (clients.pop().unwrap(), clients.pop().unwrap());
    assert_eq!(ada.next().await["type"], "joined");
    let answer = service.will_answer();
    ada.send(&json!({"type": "token", "token": "newer", "id": 1})).await;
    bob.signal("ada", json!(7)).await;
    assert_eq!(ada.next().await["data"], 7);
    ada.signal("bob", json!(8)).await;
    assert_eq!(bob.next().await["data"], 8);
    ada.send(&json!({"type": "token", "token": "another", "id": 2})).await;
    assert_eq!(ada.expect_error("busy").await["id"], 2, "one after the other");
    answer.send(json!({"admit": true, "subject": "ada", "expires_in_s": 60})).unwrap();
    let renewed = ada.next().await;
    assert_eq!((&renewed["type"], &renewed["id"]), (&json!("token"), &json!(1)));
}

#[tokio::test]
async fn who_waits_for_a_service_is_not_forgotten_at_the_end() {
    let service = Service::start().await;
    let server = Server::start(service.config.clone()).await;
    let mut client = server.connect().await;
    let answer = service.will_answer();
    client.send(&json!({"type": "hello", "room": "demo"})).await;
    while !service.answers.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let closed = tokio::spawn(client.expect_close(4003));
    assert!(server.stop().await);
    closed.await.unwrap();
    drop(answer);
}

#[tokio::test]
async fn who_goes_while_a_service_is_asked_does_not_stay() {
    let service = Service::start().await;
    let server = Server::start(service.config.clone()).await;
    let mut client = server.connect().await;
    let answer = service.will_answer();
    client.send(&json!({"type": "hello", "room": "demo"})).await;
    while !service.answers.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    client.socket.close(None).await.unwrap();
    answer.send(json!({"admit": true})).unwrap();
    server.expect_counter("signal_joins", 1).await;
    server.expect_counter("signal_members", 0).await;
    server.expect_counter("signal_connections_open", 0).await;
}
