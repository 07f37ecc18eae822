//! Matchmaking over plain HTTP.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::{Value, json};
use signal_core::MatchLimits;
use signal_server::{AdmissionLimits, SignalConfig};
use std::time::Duration;
use support::{Server, patiently};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

/// A ticket that was taken.
struct Held {
    id: String,
    key: String,
}

async fn server() -> Server {
    Server::start(SignalConfig::default()).await
}

fn with(matching: MatchLimits) -> SignalConfig {
    SignalConfig { matching, ..SignalConfig::default() }
}

fn text(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
}

fn read(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    Answer { status, head: head.to_owned(), body }
}

async fn request(server: &Server, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    read(&server.exchange(&text(method, path, headers, body)).await)
}

async fn try_post(server: &Server, ticket: &Value) -> Answer {
    request(server, "POST", "/v1/tickets", "", &ticket.to_string()).await
}

/// Posts a ticket that is taken: what holds it, and the answer.
async fn post(server: &Server, ticket: &Value) -> (Held, Value) {
    let Answer { status, head, body } = try_post(server, ticket).await;
    assert_eq!(status, 202, "{body}");
    let of = |field: &str| body[field].as_str().unwrap().to_owned();
    let held = Held { id: of("ticket"), key: of("key") };
    assert!(head.contains(&format!("location: tickets/{}", held.id)), "{head}");
    (held, body)
}

impl Held {
    fn bearer(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.key)
    }

    fn path(&self, wait_s: u64) -> String {
        format!("/v1/tickets/{}?wait_s={wait_s}", self.id)
    }

    async fn ask(&self, server: &Server, method: &str, wait_s: u64) -> Value {
        let path = self.path(wait_s);
        let Answer { status, body, .. } = request(server, method, &path, &self.bearer(), "").await;
        assert_eq!((status, &body["ticket"]), (200, &json!(self.id)), "{body}");
        assert!(body.get("key").is_none(), "the key is told once");
        body
    }

    /// Begins a poll and leaves the connection open.
    async fn begin(&self, server: &Server) -> TcpStream {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let poll = text("GET", &self.path(55), &self.bearer(), "");
        stream.write_all(poll.as_bytes()).await.unwrap();
        stream
    }
}

/// Posts a ticket and begins to poll, again if that took so long that it was cancelled.
async fn watched(server: &Server, ticket: &Value) -> (Held, TcpStream) {
    loop {
        let ended = server.counter("signal_tickets_ended");
        let (held, _) = post(server, ticket).await;
        let poll = held.begin(server).await;
        while server.counter("signal_tickets_ended") == ended {
            if server.counter("signal_tickets_watched") > 0 {
                return (held, poll);
            }
            tokio::task::yield_now().await;
        }
    }
}

fn pair() -> Value {
    json!({"queue": "chess", "size": 2})
}

fn error(answer: &Answer) -> (u16, &str) {
    assert_eq!(answer.body["type"], "error", "{answer:?}");
    assert!(!answer.body["text"].as_str().unwrap().is_empty());
    (answer.status, answer.body["code"].as_str().unwrap())
}

#[tokio::test]
async fn four_players_find_each_other_and_meet_in_a_room() {
    let server = server().await;
    let ticket = |rank: u64| {
        json!({"queue": "arena-1", "size": 4, "properties": {"region": "eu", "rank": rank},
               "query": [{"property": "region", "equals": "eu"},
                         {"property": "rank", "within": 200}]})
    };
    let mut held = Vec::new();
    for rank in [1000, 1100, 1050] {
        let (one, answer) = post(&server, &ticket(rank)).await;
        assert_eq!((&answer["status"], &answer["expires_in_s"]), (&json!("waiting"), &json!(60)));
        held.push(one);
    }
    let (stranger, _) = post(&server, &ticket(1500)).await;
    let waiting = held[0].ask(&server, "GET", 0).await;
    assert_eq!(waiting["status"], "waiting");
    let (last, answer) = post(&server, &ticket(1200)).await;
    assert_eq!(answer["status"], "matched", "it learns it at once");
    let room = answer["room"].as_str().unwrap();
    held.push(last);
    for (seat, one) in held.iter().enumerate() {
        let answer = one.ask(&server, "GET", 55).await;
        let expected = json!({"ticket": one.id, "status": "matched", "room": room,
                              "players": 4, "seats": [seat]});
        assert_eq!(answer, expected);
        server.join(room).await;
    }
    assert_eq!(stranger.ask(&server, "GET", 0).await["status"], "waiting");
    server.expect_counter("signal_matches", 1).await;
    assert_eq!(server.counter("signal_tickets_waiting"), 1);
}

#[tokio::test]
async fn a_room_that_wants_one_more_is_where_a_newcomer_is_sent() {
    let server = server().await;
    let room = json!({"queue": "chess", "size": 4, "room": "duel-1", "party": 3});
    let (room, _) = post(&server, &room).await;
    let newcomer = json!({"queue": "chess", "size": {"min": 2, "max": 4}});
    let (_, told) = post(&server, &newcomer).await;
    let expected = json!({"status": "matched", "room": "duel-1", "players": 4, "seats": [3]});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&told[field], value, "{told}");
    }
    assert_eq!(room.ask(&server, "GET", 0).await["seats"], json!([0, 1, 2]));
}

#[tokio::test]
async fn a_poll_waits_until_something_has_become_of_it() {
    let server = server().await;
    let (_, mut poll) = watched(&server, &pair()).await;
    let (_, answer) = post(&server, &pair()).await;
    let told = read(&support::read_to_end(&mut poll).await);
    assert_eq!((told.status, &told.body["room"]), (200, &answer["room"]), "{told:?}");
}

#[tokio::test]
async fn a_poll_that_waits_too_long_says_that_it_waits() {
    let server = server().await;
    let (first, _) = post(&server, &pair()).await;
    assert_eq!(first.ask(&server, "GET", 1).await["status"], "waiting");
}

#[tokio::test]
async fn a_poll_is_told_of_a_cancel() {
    let server = server().await;
    let (first, mut poll) = watched(&server, &pair()).await;
    assert_eq!(first.ask(&server, "DELETE", 0).await["status"], "cancelled");
    let told = read(&support::read_to_end(&mut poll).await);
    assert_eq!(told.body, json!({"ticket": first.id, "status": "cancelled"}));
    let (_, answer) = post(&server, &pair()).await;
    assert_eq!(answer["status"], "waiting", "nobody is there to play with");
}

#[tokio::test]
async fn who_cancels_too_late_learns_of_the_match() {
    let server = server().await;
    let (first, _) = post(&server, &pair()).await;
    let (_, answer) = post(&server, &pair()).await;
    assert_eq!(first.ask(&server, "DELETE", 0).await["room"], answer["room"]);
}

#[tokio::test]
async fn a_newer_poll_takes_over() {
    let server = server().await;
    let (first, mut poll) = watched(&server, &pair()).await;
    let path = first.path(55);
    let bearer = first.bearer();
    let newer = request(&server, "GET", &path, &bearer, "");
    let older = async {
        let told = read(&support::read_to_end(&mut poll).await);
        assert_eq!(told.body["status"], "waiting", "as soon as the newer one came");
        post(&server, &pair()).await
    };
    let (newer, (_, answer)) = patiently(async { tokio::join!(newer, older) }).await;
    assert_eq!(newer.body["room"], answer["room"]);
}

#[tokio::test]
async fn a_ticket_expires() {
    let server = server().await;
    let (first, _) = post(&server, &json!({"queue": "chess", "size": 2, "timeout_s": 1})).await;
    let told = first.ask(&server, "GET", 55).await;
    assert_eq!(told, json!({"ticket": first.id, "status": "expired"}));
}

#[tokio::test]
async fn a_ticket_whose_owner_is_gone_is_cancelled() {
    let abandon = Duration::from_millis(300);
    let server = Server::start(with(MatchLimits { abandon, ..MatchLimits::default() })).await;
    let (first, _) = post(&server, &pair()).await;
    server.expect_counter("signal_tickets_ended", 1).await;
    assert_eq!(first.ask(&server, "GET", 55).await["status"], "cancelled");

    // Who polls is there, while another one comes and goes; who breaks off isn't.
    let (second, poll) = watched(&server, &json!({"queue": "go", "size": 2})).await;
    let ended = server.counter("signal_tickets_ended");
    post(&server, &pair()).await;
    server.expect_counter("signal_tickets_ended", ended + 1).await;
    assert_eq!(server.counter("signal_tickets_watched"), 1);
    drop(poll);
    server.expect_counter("signal_tickets_ended", ended + 2).await;
    assert_eq!(second.ask(&server, "GET", 0).await["status"], "cancelled");
}

#[tokio::test]
async fn nobody_else_learns_anything_or_cancels() {
    let server = server().await;
    let (first, _) = post(&server, &pair()).await;
    let (other, _) = post(&server, &json!({"queue": "go", "size": 2})).await;
    for method in ["GET", "DELETE"] {
        let answer = request(&server, method, &first.path(0), "", "").await;
        assert_eq!(error(&answer), (401, "missing_field"));
        assert!(answer.head.contains("www-authenticate: Bearer"), "{}", answer.head);
        for key in [other.bearer(), "authorization: Bearer x\r\n".to_owned()] {
            let answer = request(&server, method, &first.path(0), &key, "").await;
            assert_eq!(error(&answer), (404, "no_such_ticket"));
        }
        for path in ["/v1/tickets/x", "/v1/tickets/aaaaaaaaaaaaaaaa", "/v1/tickets/%F0"] {
            let answer = request(&server, method, path, &first.bearer(), "").await;
            assert_eq!(error(&answer), (404, "no_such_ticket"), "{path}");
        }
    }
    assert_eq!(first.ask(&server, "GET", 0).await["status"], "waiting");
}

#[tokio::test]
async fn a_strangers_poll_does_not_end_the_owners() {
    let abandon = Duration::from_millis(300);
    let server = Server::start(with(MatchLimits { abandon, ..MatchLimits::default() })).await;
    let (first, mut poll) = watched(&server, &pair()).await;
    for _ in 0..3 {
        let wrong = "authorization: Bearer AAAAAAAAAAAAAAAAAAAAAA\r\n";
        let answer = request(&server, "GET", &first.path(1), wrong, "").await;
        assert_eq!(error(&answer), (404, "no_such_ticket"));
    }
    // As long as it takes to be gone.
    let ended = server.counter("signal_tickets_ended");
    post(&server, &json!({"queue": "go", "size": 2})).await;
    server.expect_counter("signal_tickets_ended", ended + 1).await;
    let (_, answer) = post(&server, &pair()).await;
    let told = read(&support::read_to_end(&mut poll).await);
    assert_eq!(told.body["room"], answer["room"]);
}

#[tokio::test]
async fn what_is_no_ticket_is_refused() {
    let server = server().await;
    let large = json!({"queue": "chess", "size": 2, "more": "x".repeat(5000)}).to_string();
    for (body, expected) in [
        ("", (400, "bad_ticket")),
        ("[]", (400, "bad_ticket")),
        (r#"{"queue":"chess"}"#, (400, "bad_ticket")),
        (r#"{"queue":"chess","size":65}"#, (400, "bad_ticket")),
        (&large, (413, "bad_frame")),
    ] {
        let answer = request(&server, "POST", "/v1/tickets", "", body).await;
        assert_eq!(error(&answer), expected, "{body}");
    }
    assert_eq!(server.counter("signal_tickets"), 0);
    let answer = request(&server, "GET", "/v1/tickets", "", "").await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn beyond_the_most_tickets_are_told_to_come_back() {
    let server = Server::start(with(MatchLimits { tickets_max: 1, ..Default::default() })).await;
    let (first, _) = post(&server, &pair()).await;
    let answer = try_post(&server, &json!({"queue": "go", "size": 2})).await;
    assert_eq!(error(&answer), (503, "server_full"));
    assert!(answer.head.contains("retry-after: 5"), "{}", answer.head);
    assert_eq!(answer.body["retry_after_ms"], 5000);
    first.ask(&server, "DELETE", 0).await;
    post(&server, &pair()).await;
}

#[tokio::test]
async fn an_address_has_so_many_tickets_and_gets_their_places_back() {
    let admission = AdmissionLimits { address_tickets_max: 2, ..AdmissionLimits::default() };
    let server = Server::start(SignalConfig { admission, ..SignalConfig::default() }).await;
    let queue = |name: &str| json!({"queue": name, "size": 2, "timeout_s": 600});
    let (first, _) = post(&server, &queue("go")).await;
    let mut client = server.connect().await;
    client.send(&json!({"type": "match", "ticket": queue("chess")})).await;
    assert_eq!(client.next().await["type"], "waiting");
    let answer = try_post(&server, &queue("bridge")).await;
    assert_eq!(error(&answer), (429, "rate_limited"));
    assert_eq!(answer.body["retry_after_ms"], 5000);
    // By a cancel, and with the match of the other.
    first.ask(&server, "DELETE", 0).await;
    post(&server, &queue("chess")).await;
    assert_eq!(client.next().await["type"], "matched");
    post(&server, &queue("bridge")).await;
    let (second, _) = post(&server, &queue("whist")).await;
    assert_eq!(try_post(&server, &queue("go")).await.status, 429);
    second.ask(&server, "DELETE", 0).await;
    post(&server, &queue("go")).await;
}

#[tokio::test]
async fn an_address_may_ask_so_often() {
    let admission = AdmissionLimits {
        address_requests_per_s: 1,
        address_requests_burst: 2,
        ..AdmissionLimits::default()
    };
    let server = Server::start(SignalConfig { admission, ..SignalConfig::default() }).await;
    let (first, _) = post(&server, &pair()).await;
    first.ask(&server, "GET", 0).await;
    let refused = [
        try_post(&server, &pair()).await,
        request(&server, "GET", &first.path(0), &first.bearer(), "").await,
        request(&server, "DELETE", &first.path(0), &first.bearer(), "").await,
    ];
    // On a slow machine one of them may be let in again.
    let refused = refused.iter().filter(|answer| answer.status == 429);
    assert!(refused.map(error).all(|it| it == (429, "rate_limited")));
}

#[tokio::test]
async fn a_server_that_drains_takes_no_tickets_and_one_that_ends_answers_polls() {
    let server = server().await;
    let (_, mut poll) = watched(&server, &pair()).await;
    server.signal.drain(Duration::from_secs(60), None);
    assert_eq!(error(&try_post(&server, &pair()).await), (503, "busy"));
    assert!(patiently(server.stop()).await, "nobody is waited for");
    let told = read(&support::read_to_end(&mut poll).await);
    assert_eq!(told.body["status"], "waiting");
}

fn match_of(queue: &str) -> Value {
    json!({"type": "match", "ticket": {"queue": queue, "size": 2}, "id": 3})
}

#[tokio::test]
async fn over_a_websocket_the_match_comes_by_itself() {
    let server = server().await;
    let mut ada = server.connect().await;
    ada.send(&match_of("chess")).await;
    let waiting = json!({"type": "waiting", "expires_in_s": 60, "id": 3});
    assert_eq!(ada.next().await, waiting);
    // Whatever the others come by.
    let (_, answer) = post(&server, &pair()).await;
    let matched = ada.next().await;
    let room = answer["room"].as_str().unwrap();
    let expected = json!({"type": "matched", "room": room, "players": 2, "seats": [0], "id": 3});
    assert_eq!(matched, expected);
    ada.hello(room).await;

    let mut bob = server.connect().await;
    bob.send(&json!({"type": "match", "ticket": {"queue": "chess", "size": 2, "party": 2}})).await;
    let matched = bob.next().await;
    assert_eq!((&matched["type"], &matched["seats"]), (&json!("matched"), &json!([0, 1])));
    bob.hello(matched["room"].as_str().unwrap()).await;
}

#[tokio::test]
async fn a_ticket_goes_with_its_websocket() {
    let server = server().await;
    let mut ada = server.connect().await;
    ada.send(&match_of("chess")).await;
    assert_eq!(ada.next().await["type"], "waiting");
    drop(ada);
    server.expect_counter("signal_tickets_ended", 1).await;
    let (_, answer) = post(&server, &pair()).await;
    assert_eq!(answer["status"], "waiting", "nobody is there to play with");
}

#[tokio::test]
async fn over_a_websocket_too_a_ticket_is_refused_or_expires() {
    let server = Server::start(with(MatchLimits { tickets_max: 1, ..Default::default() })).await;
    let (_, _) = post(&server, &json!({"queue": "go", "size": 2, "timeout_s": 1})).await;
    let mut ada = server.connect().await;
    ada.send(&json!({"type": "match", "ticket": {"queue": "chess"}})).await;
    ada.expect_error("bad_ticket").await;
    ada.send(&match_of("chess")).await;
    let full = ada.expect_error("server_full").await;
    assert_eq!((&full["id"], &full["retry_after_ms"]), (&json!(3), &json!(5000)));
    server.expect_counter("signal_tickets_ended", 1).await;
    let brief = json!({"queue": "chess", "size": 2, "timeout_s": 1});
    ada.send(&json!({"type": "match", "ticket": brief})).await;
    assert_eq!(ada.next().await["type"], "waiting");
    assert_eq!(ada.next().await, json!({"type": "expired"}));
    ada.hello("demo").await;
    assert_eq!(server.counter("signal_tickets_waiting"), 0);
}

#[tokio::test]
async fn a_post_of_frames_takes_no_tickets() {
    let server = server().await;
    let body = match_of("chess").to_string();
    let answer = request(&server, "POST", "/v1/send", "", &body).await;
    assert_eq!(error(&answer), (400, "bad_ticket"));
    assert!(answer.body["text"].as_str().unwrap().contains("/v1/tickets"));
}
