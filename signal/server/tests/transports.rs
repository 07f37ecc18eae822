//! One session over WebSocket, server-sent events and long polls: nothing is lost between them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::{Value, json};
use signal_core::Config;
use signal_server::SignalConfig;
use std::time::Duration;
use support::{Client, Server, patiently, unlimited};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// What a client over plain HTTP knows.
struct Web<'a> {
    server: &'a Server,
    welcome: Value,
    seq: u64,
}

impl<'a> Web<'a> {
    /// Joins by a POST.
    async fn join(server: &'a Server, room: &str) -> Self {
        let hello = json!({"type": "hello", "room": room}).to_string();
        let (status, answer) = request(server, "POST", "/v1/send", "", &hello).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer[0]["type"], "welcome", "{answer}");
        Self::of(server, answer[0].clone())
    }

    /// Goes on with a session that was somewhere else.
    fn of(server: &'a Server, welcome: Value) -> Self {
        Self { server, welcome, seq: 1 }
    }

    fn url(&self, path: &str, more: &str) -> String {
        format!("{path}?session={}{more}", self.welcome["session"].as_str().unwrap())
    }

    fn bearer(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.welcome["key"].as_str().unwrap())
    }

    /// The numbered frames of one poll.
    async fn poll(&mut self) -> Vec<Value> {
        let url = self.url("/v1/poll", &format!("&seq={}&wait_s=5", self.seq));
        let (status, answer) = request(self.server, "GET", &url, &self.bearer(), "").await;
        assert_eq!(status, 200, "{answer}");
        let frames = answer.as_array().unwrap().clone();
        assert_eq!(frames[0]["type"], "resumed");
        let numbered: Vec<_> = frames.into_iter().filter(|frame| frame["seq"].is_u64()).collect();
        for frame in &numbered {
            self.seq += 1;
            assert_eq!(frame["seq"], self.seq, "{frame}");
        }
        numbered
    }

    /// Sends frames; the answer to them.
    async fn send(&self, frames: Value) -> Vec<Value> {
        let url = self.url("/v1/send", "");
        let body = frames.to_string();
        let (status, answer) = request(self.server, "POST", &url, &self.bearer(), &body).await;
        assert_eq!(status, 200, "{answer}");
        answer.as_array().unwrap().clone()
    }

    async fn listen(&self) -> Events {
        Events::open(self.server, &self.url("/v1/events", ""), &self.bearer(), self.seq).await
    }
}

/// An open stream of server-sent events.
struct Events {
    lines: BufReader<TcpStream>,
}

impl Events {
    async fn open(server: &Server, url: &str, headers: &str, last: u64) -> Self {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head =
            format!("GET {url} HTTP/1.1\r\nhost: x\r\n{headers}last-event-id: {last}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut events = Self { lines: BufReader::new(stream) };
        let status = events.line().await;
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        loop {
            let line = events.line().await;
            if line.starts_with("content-type") {
                assert_eq!(line, "content-type: text/event-stream");
            }
            if line.is_empty() {
                return events;
            }
        }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        patiently(self.lines.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    /// The next event: its id and its frame.
    async fn next(&mut self) -> (Option<u64>, Value) {
        let mut id = None;
        loop {
            let line = self.line().await;
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.parse().unwrap());
            }
            if let Some(text) = line.strip_prefix("data: ") {
                return (id, serde_json::from_str(text).unwrap());
            }
        }
    }

    /// Waits for a comment, which shows that the connection is alive.
    async fn comment(&mut self) {
        while self.line().await != ":" {}
    }
}

async fn request(
    server: &Server,
    method: &str,
    url: &str,
    headers: &str,
    body: &str,
) -> (u16, Value) {
    let length = body.len();
    let answer = server
        .exchange(&format!(
            "{method} {url} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        ))
        .await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn signal(to: &Value, data: u64, id: u64) -> Value {
    json!({"type": "signal", "to": to, "data": data, "id": id})
}

async fn server() -> Server {
    Server::start(SignalConfig::default()).await
}

/// A seat and its welcome are told one after the other, and between them another thread may look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_by_post_is_never_answered_without_its_welcome() {
    let server = Server::start(unlimited()).await;
    for number in 0..1000 {
        Web::join(&server, &format!("room-{number}")).await;
    }
}

#[tokio::test]
async fn two_peers_meet_over_polls_and_posts() {
    let server = server().await;
    let mut ada = Web::join(&server, "demo").await;
    let mut bob = Web::join(&server, "demo").await;
    assert_eq!(ada.poll().await[0]["type"], "joined");
    let to_ada = &ada.welcome["peer"];
    let answer = bob.send(json!([signal(to_ada, 1, 1), signal(to_ada, 2, 2)])).await;
    assert_eq!(answer, [json!({"type": "ack", "ack": 2})]);
    let frames = ada.poll().await;
    assert_eq!(frames.iter().map(|frame| &frame["data"]).collect::<Vec<_>>(), [1, 2]);
    ada.send(signal(&bob.welcome["peer"], 3, 1)).await;
    assert_eq!(bob.poll().await[0]["data"], 3);

    let last = ada.send(json!({"type": "leave"})).await;
    assert_eq!((&last[0]["type"], &last[0]["code"]), (&json!("close"), &json!(1000)));
    assert_eq!(bob.poll().await[0]["reason"], "left");
}

#[tokio::test]
async fn a_poll_waits_until_there_is_something() {
    let server = server().await;
    let mut ada = Web::join(&server, "demo").await;
    assert!(
        {
            let url = ada.url("/v1/poll", "&seq=1&wait_s=0");
            let (_, answer) = request(&server, "GET", &url, &ada.bearer(), "").await;
            answer == json!([{"type": "resumed", "ack": 0}])
        },
        "there is nothing yet"
    );
    let (frames, _bob) = tokio::join!(ada.poll(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.join("demo").await
    });
    assert_eq!(frames[0]["type"], "joined");
}

#[tokio::test]
async fn a_poll_is_answered_with_what_became_of_requests_behind_their_refusals() {
    let server = server().await;
    let (_bob, welcome) = server.join("demo").await;
    let ada = Web::join(&server, "demo").await;
    let polled = async |seq: u64, more: &str| {
        let url = ada.url("/v1/poll", &format!("&seq={seq}{more}"));
        let (_, answer) = request(&server, "GET", &url, &ada.bearer(), "").await;
        let kind = |frame: &Value| (frame["type"].clone(), frame["ack"].clone());
        answer.as_array().unwrap().iter().map(kind).collect::<Vec<_>>()
    };
    let (resumed, error, ack) = (json!("resumed"), json!("error"), json!("ack"));
    let first = polled(1, "&attempt=1").await;
    assert_eq!(first, [(resumed.clone(), json!(0)), (ack.clone(), json!(0))], "there is a session");

    // While a poll waits: nothing else would end it.
    let said = signal(&welcome["peer"], 1, 1);
    let (frames, _) = tokio::join!(polled(1, "&attempt=1"), ada.send(said));
    assert_eq!(frames.last(), Some(&(ack.clone(), json!(1))));

    // Between two polls.
    ada.send(json!([signal(&json!("nobody"), 1, 2), signal(&welcome["peer"], 2, 3)])).await;
    let frames = polled(1, "&attempt=1").await;
    assert_eq!(frames[0], (resumed.clone(), json!(3)), "they need not be sent again");
    assert_eq!(frames[1].0, error);
    assert_eq!(frames[2..], [(ack, json!(3))]);
}

#[tokio::test]
async fn events_come_with_their_numbers_and_go_on_behind_the_last_one() {
    let server = server().await;
    let (mut bob, _) = server.join("demo").await;
    let mut ada = Web::join(&server, "demo").await;
    let to_ada = ada.welcome["peer"].as_str().unwrap().to_owned();
    let mut events = ada.listen().await;
    assert_eq!(events.next().await, (None, json!({"type": "resumed", "ack": 0})));
    for data in [1, 2] {
        bob.signal(&to_ada, json!(data)).await;
    }
    let (id, frame) = events.next().await;
    assert_eq!((id, &frame["data"]), (Some(2), &json!(1)));
    // The second one is lost with the connection.
    drop(events);
    ada.seq = 2;
    let mut events = ada.listen().await;
    assert_eq!(events.next().await.1["type"], "resumed");
    let (id, frame) = events.next().await;
    assert_eq!((id, &frame["data"]), (Some(3), &json!(2)));
    bob.signal(&to_ada, json!(3)).await;
    assert_eq!(events.next().await.0, Some(4));
}

#[tokio::test]
async fn a_session_moves_between_transports_without_loss() {
    let server = server().await;
    let (mut bob, _) = server.join("demo").await;
    let (mut ada, welcome) = server.join("demo").await;
    assert_eq!(bob.next().await["type"], "joined");
    let to_ada = welcome["peer"].as_str().unwrap().to_owned();
    let mut sent = 0;
    let mut send = async |bob: &mut Client| {
        for _ in 0..3 {
            bob.signal(&to_ada, json!(sent)).await;
            sent += 1;
        }
    };
    send(&mut bob).await;
    assert_eq!(ada.next().await["data"], 0, "one of three is read");
    let mut web = Web::of(&server, welcome.clone());
    web.seq = ada.seq;
    // Without a word to the WebSocket, which still looks open.
    let data: Vec<_> = web.poll().await.iter().map(|frame| frame["data"].clone()).collect();
    assert_eq!(data, [1, 2]);
    ada.expect_close(4101).await;

    send(&mut bob).await;
    let mut events = web.listen().await;
    assert_eq!(events.next().await.1["type"], "resumed");
    for data in [3, 4] {
        assert_eq!(events.next().await.1["data"], data);
    }
    let mut again = server.connect().await;
    again.resume(&welcome, web.seq + 2).await;
    let (_, close) = loop {
        let event = events.next().await;
        if event.1["type"] == "close" {
            break event;
        }
    };
    assert_eq!(close["code"], 4101);
    assert_eq!(again.next().await["type"], "resumed");
    assert_eq!(again.next().await["data"], 5);
    send(&mut bob).await;
    for data in [6, 7, 8] {
        assert_eq!(again.next().await["data"], data);
    }
}

#[tokio::test]
async fn who_listens_to_events_shows_life_by_posts() {
    let server = Server::start(SignalConfig {
        hub: Config {
            heartbeat_interval: Duration::from_millis(200),
            heartbeat_timeout: Duration::from_millis(1000),
            ..Config::default()
        },
        ..SignalConfig::default()
    })
    .await;
    let ada = Web::join(&server, "demo").await;
    let mut events = ada.listen().await;
    for _ in 0..10 {
        events.comment().await;
        assert_eq!(ada.send(json!({"type": "ping", "id": 7})).await[0]["type"], "pong");
    }
    let (_, close) = loop {
        let event = events.next().await;
        if event.1["type"] == "close" {
            break event;
        }
    };
    assert_eq!(close["code"], 4002);
}

#[tokio::test]
async fn each_wrong_request_is_answered_with_what_is_wrong_and_changes_nothing() {
    let server = server().await;
    let ada = Web::join(&server, "demo").await;
    let bearer = ada.bearer();
    let good = ada.url("/v1/send", "");
    let large = json!({"type": "signal", "to": "x", "data": "x".repeat(300_000)}).to_string();
    let many = json!(vec![json!({"type": "ping"}); 65]).to_string();
    let gone = "?session=demo:nobody";
    for (method, url, headers, body, status, code) in [
        ("GET", "/v1/poll", "", "", 400, "missing_field"),
        ("GET", "/v1/events", "", "", 400, "missing_field"),
        ("GET", &*ada.url("/v1/poll", ""), "", "", 400, "missing_field"),
        ("GET", &ada.url("/v1/poll", "&seq=x"), &*bearer, "", 400, "bad_frame"),
        ("GET", &ada.url("/v1/poll", "&key=AAAA"), "", "", 404, "no_such_session"),
        ("GET", &format!("/v1/poll{gone}"), &bearer, "", 404, "no_such_session"),
        ("POST", &format!("/v1/send{gone}"), &bearer, r#"{"type":"ping"}"#, 404, "no_such_session"),
        ("POST", &good, &bearer, "", 400, "bad_frame"),
        ("POST", &good, &bearer, "[]", 400, "bad_frame"),
        ("POST", &good, &bearer, "{", 400, "bad_frame"),
        ("POST", &good, &bearer, &many, 400, "bad_frame"),
        ("POST", &good, &bearer, &large, 413, "bad_frame"),
        ("POST", "/v1/send", "", r#"{"type":"ping"}"#, 400, "hello_first"),
        ("POST", "/v1/send", "", r#"{"type":"hello","room":"a b"}"#, 400, "bad_room"),
    ] {
        let (got, answer) = request(&server, method, url, headers, body).await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{method} {url}: {answer}");
        assert!(answer["text"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    }
    let (status, _) = request(&server, "PUT", &good, &bearer, "").await;
    assert_eq!(status, 405);
    // A stream can't be refused by its status: it has begun.
    let url = format!("/v1/events{gone}");
    let mut events = Events::open(&server, &url, &bearer, 0).await;
    assert_eq!(events.next().await.1["code"], "no_such_session");
    assert_eq!(events.next().await.1["type"], "close");

    let mut ada = ada;
    let answer = ada.send(json!([{"type": "signal", "to": "nobody", "data": 1, "id": 1}])).await;
    assert_eq!(answer, [json!({"type": "ack", "ack": 1})]);
    assert_eq!(ada.poll().await[0]["code"], "no_such_peer", "it is still there");
    let answer = ada.send(json!({"type": "dance"})).await;
    assert_eq!(answer[0]["code"], "unknown_type");
}

#[tokio::test]
async fn the_end_of_the_server_ends_polls_and_streams() {
    let server = server().await;
    let ada = Web::join(&server, "demo").await;
    let bob = Web::join(&server, "other").await;
    let mut events = ada.listen().await;
    assert_eq!(events.next().await.1["type"], "resumed");
    let url = bob.url("/v1/poll", "&seq=1");
    let bearer = bob.bearer();
    let polling = request(&server, "GET", &url, &bearer, "");
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.signal.shutdown(Duration::from_secs(10)).await
    };
    let ((_, polled), all_gone) = tokio::join!(polling, stopping);
    assert_eq!(polled.as_array().unwrap().last().unwrap()["code"], 4003);
    assert_eq!(events.next().await.1["code"], 4003);
    drop(events);
    let _ = all_gone;
}
