//! Rooms over plain HTTP, and what is asked of them over a session, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use signal_core::Config;
use signal_server::{AuthConfig, KeySource, Keys, Mint, MintKey, SignalConfig, TokenConfig};
use std::sync::Arc;
use std::time::Duration;
use support::{Server, patiently, unlimited, unpaced};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The status and the JSON of an answer.
async fn request(
    server: &Server,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, Value) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = server.exchange(&request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
    request(server, "GET", path, "", "").await
}

async fn make(server: &Server, body: &Value) -> (u16, Value) {
    request(server, "POST", "/v1/rooms", "", &body.to_string()).await
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or(""))
}

#[tokio::test]
async fn a_room_is_made_joined_and_found() {
    let hub = Config { opens_rooms: false, ..unpaced() };
    let server = Server::start(SignalConfig { hub, ..unlimited() }).await;
    let mut ada = server.connect().await;
    ada.send(&json!({"type": "hello", "room": "duel-1"})).await;
    assert_eq!(ada.expect_error("no_such_room").await["retry"], true);

    let options = json!({"public": true, "hosted": true, "capacity": 2,
        "state": {"mode": "duel"}});
    let wanted = json!({"room": "duel-1", "idle_s": 3600, "options": options});
    let made = make(&server, &wanted).await;
    assert_eq!(made, (201, json!({"room": "duel-1", "idle_s": 3600})));
    assert_eq!(code(&make(&server, &wanted).await), (409, "room_taken"));
    let (status, unnamed) = make(&server, &json!({})).await;
    assert_eq!((status, unnamed["room"].as_str().unwrap().len()), (201, 16));

    let welcome = ada.hello("duel-1").await;
    assert_eq!(welcome["about"]["host"], welcome["peer"]);
    let (status, shown) = get(&server, "/v1/rooms/duel-1").await;
    assert_eq!((status, &shown["members"], &shown["capacity"]), (200, &json!(1), &json!(2)));
    assert_eq!(shown["state"], json!({"version": 1, "value": {"mode": "duel"}}));
    let (status, list) = get(&server, "/v1/rooms?where=mode%3Dduel&open=true&limit=5").await;
    assert_eq!((status, &list["rooms"]), (200, &json!([shown])));
    assert_eq!(get(&server, "/v1/rooms?where=mode%3Drace").await.1, json!({"rooms": []}));
    let hidden = format!("/v1/rooms/{}", unnamed["room"].as_str().unwrap());
    assert_eq!(code(&get(&server, &hidden).await), (404, "no_such_room"), "it isn't public");
}

#[tokio::test]
async fn what_cannot_be_made_says_why() {
    let server = Server::start(unlimited()).await;
    let bad = |room: Value| {
        let server = &server;
        async move {
            let answer = make(server, &room).await;
            (answer.0, answer.1["code"].as_str().unwrap().to_owned())
        }
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(bad(json!([1])).await, is(400, "bad_frame"));
    assert_eq!(bad(json!({"room": "no such name"})).await, is(400, "bad_room"));
    assert_eq!(bad(json!({"idle_s": 0})).await, is(400, "bad_rules"));
    assert_eq!(bad(json!({"options": {"capacity": 0}})).await, is(400, "bad_rules"));
    assert_eq!(bad(json!({"options": {"capacity": 9999}})).await, is(400, "bad_rules"));
    assert_eq!(bad(json!({"options": {"history": 9999}})).await, is(400, "bad_rules"));
    assert_eq!(bad(json!({"options": {"password": ""}})).await, is(400, "bad_rules"));
    assert_eq!(bad(json!({"options": {"sealed": 7}})).await, is(400, "bad_rules"));
    let large = "x".repeat(17 << 10);
    assert_eq!(bad(json!({"options": {"state": large}})).await, is(400, "bad_rules"));
    let larger = "x".repeat(64 << 10);
    assert_eq!(bad(json!({"options": {"state": larger}})).await.0, 413);
    assert_eq!(request(&server, "PUT", "/v1/rooms", "", "{}").await.0, 405);
    for query in ["where=x", "sort=colour", "limit=0"] {
        let answer = get(&server, &format!("/v1/rooms?{query}")).await;
        assert_eq!(code(&answer), (400, "bad_frame"), "{query}");
    }
    assert_eq!(code(&get(&server, "/v1/rooms/a/events?after=x").await).0, 400);
}

#[tokio::test]
async fn who_may_join_a_room_may_make_it() {
    const SECRET: &[u8] = b"a secret of more than 32 bytes, for tests";
    let keys = KeySource::Fixed(Arc::new(Keys::from_secret(SECRET).unwrap()));
    let auth = AuthConfig::Tokens(TokenConfig::new(keys));
    let server = Server::start(SignalConfig { auth, ..unlimited() }).await;
    assert_eq!(code(&make(&server, &json!({"room": "a"})).await), (401, "unauthorized"));
    let mint =
        Mint { ttl: Duration::from_secs(600), rooms: vec!["a".to_owned()], ..Mint::default() };
    let key = MintKey::from_secret(SECRET).unwrap();
    let token = key.mint(heliograph_base::Clock::start().now().unix, &mint).unwrap();
    let other = make(&server, &json!({"room": "b", "token": token})).await;
    assert_eq!(code(&other), (403, "forbidden"));
    assert_eq!(make(&server, &json!({"room": "a", "token": token})).await.0, 201);
}

#[tokio::test]
async fn what_was_said_is_read_in_pages_and_goes_on_live() {
    let server = Server::start(unlimited()).await;
    let mut ada = server.connect().await;
    let create = json!({"history": 10});
    ada.send(&json!({"type": "hello", "room": "talk", "create": create})).await;
    let welcome = ada.next().await;
    for n in 1..=5 {
        ada.send(&json!({"type": "broadcast", "data": n, "id": n})).await;
        assert_eq!(ada.next().await["event"], n);
    }
    let key = format!("authorization: Bearer {}\r\n", welcome["key"].as_str().unwrap());
    let session = welcome["session"].as_str().unwrap();
    let page = |after: u64| {
        let path = format!("/v1/rooms/talk/events?after={after}&limit=2&session={session}");
        let (server, key) = (&server, &key);
        async move { request(server, "GET", &path, key, "").await }
    };
    let (status, first) = page(2).await;
    let numbers: Vec<_> = first["events"].as_array().unwrap().iter().collect();
    assert_eq!((status, numbers.len(), &numbers[0]["data"]), (200, 2, &json!(3)));
    assert_eq!((&first["missed"], &first["last_event"]), (&json!(false), &json!(5)));
    assert_eq!(page(5).await.1["events"], json!([]));
    let public = get(&server, "/v1/rooms/talk/events").await;
    assert_eq!(code(&public), (404, "no_such_room"), "it is for its members");
    let elsewhere = format!("/v1/rooms/other/events?session={session}");
    let answer = request(&server, "GET", &elsewhere, &key, "").await;
    assert_eq!(code(&answer), (404, "no_such_room"));

    let mut bob = server.connect().await;
    bob.send(&json!({"type": "hello", "room": "talk", "after": 3})).await;
    let about = bob.next().await["about"].clone();
    let numbers: Vec<_> = about["events"].as_array().unwrap().iter().collect();
    assert_eq!(
        (numbers.len(), &numbers[0]["event"], &numbers[1]["data"]),
        (2, &json!(4), &json!(5))
    );
    ada.send(&json!({"type": "broadcast", "data": 6, "id": 6})).await;
    assert_eq!(bob.next().await["event"], 6);
}

#[tokio::test]
async fn anybody_may_read_what_was_said_in_a_public_room() {
    let server = Server::start(unlimited()).await;
    let mut ada = server.connect().await;
    let create = json!({"history": 10, "public": true});
    ada.send(&json!({"type": "hello", "room": "square", "create": create})).await;
    ada.next().await;
    ada.send(&json!({"type": "broadcast", "data": "hear"})).await;
    ada.next().await;
    let (status, page) = get(&server, "/v1/rooms/square/events").await;
    assert_eq!((status, &page["events"][0]["data"]), (200, &json!("hear")));
}

#[tokio::test]
async fn a_host_kicks_over_a_socket_and_a_state_is_set_by_post() {
    let server = Server::start(unlimited()).await;
    let mut ada = server.connect().await;
    ada.send(&json!({"type": "hello", "room": "den", "create": {"hosted": true}})).await;
    let welcome = ada.next().await;
    let term = welcome["about"]["term"].as_u64().unwrap();
    let (mut bob, seat) = server.join("den").await;
    ada.next().await;
    let (key, session) = (seat["key"].as_str().unwrap(), seat["session"].as_str().unwrap());
    let path = format!("/v1/send?session={session}");
    let bearer = format!("authorization: Bearer {key}\r\n");
    let state = json!({"type": "state", "value": [1], "if_version": 0, "id": 1}).to_string();
    let answer = request(&server, "POST", &path, &bearer, &state).await;
    assert_eq!(answer, (200, json!([{"type": "ack", "ack": 1}])));
    for client in [&mut ada, &mut bob] {
        let state = client.next().await;
        assert_eq!((&state["version"], &state["by"]), (&json!(1), &seat["peer"]));
    }
    let kick = |peer: &Value, id: u64| {
        let mut kick = json!({"type": "kick", "peer": peer, "ban": true, "term": term});
        kick["id"] = id.into();
        kick
    };
    bob.send(&kick(&welcome["peer"], 2)).await;
    assert_eq!(bob.expect_error("not_host").await["id"], 2);
    ada.send(&kick(&seat["peer"], 1)).await;
    bob.expect_close(4104).await;
    assert_eq!(ada.next().await["reason"], "kicked");
    let mut again = server.connect().await;
    again.send(&json!({"type": "hello", "room": "den"})).await;
    again.expect_error("banned").await;
}

/// Reads server-sent events.
struct Events {
    stream: TcpStream,
    text: String,
}

impl Events {
    async fn open(server: &Server, path: &str) -> Self {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        Self { stream, text: String::new() }
    }

    /// The next event: its name and its data.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some(begin) = self.text.find("event: ")
                && let Some(end) = self.text[begin..].find("\n\n")
            {
                let event: String = self.text.drain(..begin + end).collect();
                let event = &event[begin..];
                let (name, data) = event["event: ".len()..].split_once("\ndata: ").unwrap();
                let data = data.lines().next().unwrap();
                return (name.to_owned(), serde_json::from_str(data).unwrap());
            }
            let mut bytes = [0; 4096];
            let read = patiently(self.stream.read(&mut bytes)).await.unwrap();
            assert!(read > 0, "it ended: {}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }
}

#[tokio::test]
async fn who_follows_the_list_learns_of_rooms_that_come_change_and_go() {
    let server = Server::start(unlimited()).await;
    let mut ada = server.connect().await;
    ada.send(&json!({"type": "hello", "room": "a", "create": {"public": true}})).await;
    ada.next().await;
    let mut events = Events::open(&server, "/v1/rooms?open=true").await;
    let (name, room) = events.next().await;
    assert_eq!((name.as_str(), &room["room"], &room["members"]), ("room", &json!("a"), &json!(1)));
    let (_bob, _) = server.join("a").await;
    assert_eq!(events.next().await.1["members"], 2);
    let mut carol = server.connect().await;
    carol.send(&json!({"type": "hello", "room": "b", "create": {"public": true}})).await;
    carol.next().await;
    assert_eq!(events.next().await.1["room"], "b");
    carol.send(&json!({"type": "leave"})).await;
    assert_eq!(events.next().await, ("gone".to_owned(), json!({"room": "b"})));
}

#[tokio::test]
async fn a_room_in_which_a_hundred_come_and_go_leaves_no_trace() {
    let server = Server::start(unlimited()).await;
    for round in 0..3 {
        let mut members = Vec::new();
        for n in 0..100 {
            let mut client = server.connect().await;
            let create = json!({"public": true, "hosted": true, "history": 50});
            client.send(&json!({"type": "hello", "room": "busy", "create": create})).await;
            assert_eq!(client.next().await["type"], "welcome");
            let ask = match n % 4 {
                0 => json!({"type": "broadcast", "data": n, "id": 1}),
                1 => json!({"type": "state", "value": n, "id": 1}),
                2 => json!({"type": "metadata", "metadata": {"n": n}, "id": 1}),
                _ => json!({"type": "signal", "to": "nobody", "data": n, "id": 1}),
            };
            client.send(&ask).await;
            members.push(client);
        }
        server.expect_counter("signal_joins", 100 * (round + 1)).await;
        for (n, mut client) in members.into_iter().enumerate() {
            if n % 2 == 0 {
                client.send(&json!({"type": "leave"})).await;
            } else {
                drop(client.socket.close(None).await);
            }
            // What is unread at the end would reset the connection, and the leave be lost.
            while let Some(Ok(_)) = patiently(client.socket.next()).await {}
        }
        server.expect_counter("signal_members", 0).await;
        server.expect_counter("signal_rooms", 0).await;
    }
    let (_, welcome) = server.join("busy").await;
    assert!(welcome.get("about").is_none(), "it is as if it had never been");
}
