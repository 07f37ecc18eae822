//! The admin API as an operator meets it, through the real binary.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "support/api.rs"]
mod api;
#[path = "support/seat.rs"]
mod seat;
mod support;

use api::{TOKEN, address, ask, connect, get, send, start};
use relay_core::wire::Method;
use seat::Member;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use support::{Heliograph, wait_until};

const BOTH: [&str; 6] =
    ["--http", "127.0.0.1:0", "--turn", "127.0.0.1:0", "--allow-peer", "127.0.0.0/8"];

/// Every route of the document, what it is asked in a room `demo` of which `PEER` is a member, and
/// the answer. In an order in which each finds what it needs.
const ASKED: [(&str, &str, &str, &str, u16); 10] = [
    ("get", "/v1/status", "", "", 200),
    ("get", "/v1/live", "", "", 200),
    ("get", "/v1/rooms", "?limit=10", "", 200),
    ("get", "/v1/rooms/{room}", "", "", 200),
    ("get", "/v1/allocations", "?room=demo", "", 200),
    ("get", "/v1/drain", "", "", 200),
    ("post", "/v1/revoke", "", r#"{"room":"elsewhere"}"#, 200),
    ("delete", "/v1/rooms/{room}/members/{peer}", "", "", 200),
    ("delete", "/v1/rooms/{room}", "", "", 200),
    ("post", "/v1/drain", "", r#"{"within_s":600}"#, 202),
];

fn document(server: &Heliograph) -> Value {
    let answer = send(address(server), "GET", "/v1/openapi.json", None, "");
    assert_eq!(answer.status, 200, "it needs no token");
    answer.json()
}

/// Every route of the document, as in [`ASKED`].
fn described(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| -> Vec<(String, String)> {
        item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())).collect()
    };
    paths.iter().flat_map(of).collect()
}

fn filled(path: &str, peer: &str) -> String {
    path.replace("{room}", "demo").replace("{peer}", peer)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_document_answers_as_it_says() {
    let server = start(&BOTH);
    let document = document(&server);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{document}");
    let asked: BTreeSet<_> = ASKED.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
    assert_eq!(described(&document), asked);
    let (ada, _bob) = (Member::join(&server, "demo").await, Member::join(&server, "demo").await);
    for (method, path, query, body, status) in ASKED {
        let url = filled(path, &ada.peer) + query;
        let responses = &document["paths"][path][method]["responses"];
        assert!(responses[status.to_string()].is_object(), "{method} {path}: {responses}");
        let answer = match path {
            "/v1/live" => continue, // It never ends: see below.
            _ => send(address(&server), &method.to_uppercase(), &url, Some(TOKEN), body),
        };
        assert_eq!(answer.status, status, "{method} {url}: {answer:?}");
        let content = &responses[status.to_string()]["content"]["application/json"];
        fits(&document, &content["schema"], &answer.json());
    }
}

/// Expects that a value has the fields that its schema names, and no others.
fn fits(document: &Value, schema: &Value, value: &Value) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.trim_start_matches("#/components/schemas/");
        return fits(document, &document["components"]["schemas"][name], value);
    }
    if let Some(items) = value.as_array() {
        return items.iter().for_each(|item| fits(document, &schema["items"], item));
    }
    let Some(fields) = value.as_object() else {
        let of = &schema["type"];
        let fits = match value {
            Value::String(_) => "string",
            Value::Bool(_) => "boolean",
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => "integer",
        };
        return assert!(*of == fits || of[0] == fits, "{value} isn't {schema}");
    };
    for (name, field) in fields {
        assert!(schema["properties"][name].is_object(), "{name} isn't in {schema}");
        fits(document, &schema["properties"][name], field);
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.map(|name| name.as_str().unwrap()) {
        assert!(fields.contains_key(name), "{name} is missing in {value}");
    }
}

#[test]
fn no_route_opens_without_the_token() {
    let server = start(&BOTH);
    let at = address(&server);
    for (method, path, query, body, _) in ASKED {
        let (method, url) = (method.to_uppercase(), filled(path, "nobody") + query);
        let answer = send(at, &method, &url, None, body);
        assert_eq!(answer.status, 401, "{method} {url}: {answer:?}");
        assert_eq!(answer.json()["code"], "unauthorized");
        assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
        // Each of them is one wrong token, of the ten that an address has.
        let answer = send(at, &method, &url, Some("another-token-of-tests"), body);
        assert_eq!(answer.status, 401, "{method} {url}: {answer:?}");
    }
    assert_eq!(send(at, "GET", "/v1/nowhere", None, "").status, 404);
}

#[test]
fn who_guesses_too_often_has_to_wait() {
    let server = start(&BOTH);
    let guess = || send(address(&server), "GET", "/v1/status", Some("swordfish"), "");
    let first = (0..100).map(|_| guess()).find(|answer| answer.status != 401).unwrap();
    assert_eq!(first.status, 429);
    assert_eq!(first.json()["code"], "too_many_attempts");
    assert!(first.head.contains("retry-after: 1"), "{first:?}");
    // Another one comes when the second is over.
    wait_until("the operator gets in", || ask(&server, "GET", "/v1/status", None).status == 200);
}

#[test]
fn every_route_refuses_other_methods_and_large_bodies() {
    let server = start(&BOTH);
    let at = address(&server);
    for (method, path, query, _, _) in ASKED {
        let url = filled(path, "nobody") + query;
        for other in ["PUT", "PATCH"] {
            let answer = send(at, other, &url, Some(TOKEN), "{}");
            assert_eq!(answer.status, 405, "{other} {url}: {answer:?}");
            assert_eq!(answer.json()["code"], "wrong_method");
        }
        let large = format!("{{\"room\":\"{}\"}}", "x".repeat(5000));
        let answer = send(at, &method.to_uppercase(), &url, Some(TOKEN), &large);
        assert_eq!(answer.status, 413, "{method} {url}: {answer:?}");
        assert_eq!(answer.json()["code"], "too_large");
    }
}

#[test]
fn a_body_of_unknown_length_is_limited_too() {
    let server = start(&BOTH);
    let mut stream = connect(address(&server));
    let head = format!(
        "POST /v1/revoke HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(format!("1388\r\n{}\r\n", "x".repeat(5000)).as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 413 "), "{line}");
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let server = start(&BOTH);
    for (method, path, body, named) in [
        ("GET", "/v1/rooms?limit=0", "", "limit"),
        ("GET", "/v1/rooms?limit=1001", "", "limit"),
        ("GET", "/v1/rooms?limit=many", "", "limit"),
        ("GET", "/v1/rooms?after=a%20b", "", "room"),
        ("GET", "/v1/rooms?afetr=a", "", "afetr"),
        ("GET", "/v1/rooms/a%20b", "", "room"),
        ("GET", "/v1/rooms/%FF", "", "UTF-8"),
        ("DELETE", "/v1/rooms/demo/members/a%20b", "", "peer"),
        ("GET", "/v1/allocations?limit=0", "", "limit"),
        ("GET", "/v1/allocations?after=nowhere", "", "after"),
        ("POST", "/v1/revoke", "", "body"),
        ("POST", "/v1/revoke", "[]", "body"),
        ("POST", "/v1/revoke", "{}", "give room"),
        ("POST", "/v1/revoke", r#"{"peer":"ada"}"#, "give room"),
        ("POST", "/v1/revoke", r#"{"room":"demo","user":"ada"}"#, "give room"),
        ("POST", "/v1/revoke", r#"{"rom":"demo"}"#, "rom"),
        ("POST", "/v1/drain", r#"{"within_s":86401}"#, "within_s"),
        ("POST", "/v1/drain", r#"{"within_s":-1}"#, "body"),
        ("POST", "/v1/drain", r#"{"within_s":5,"url":"http://other"}"#, "url"),
    ] {
        let answer = send(address(&server), method, path, Some(TOKEN), body);
        assert_eq!(answer.status, 400, "{method} {path} {body}: {answer:?}");
        let problem = answer.json();
        assert_eq!(problem["code"], "bad_request");
        assert!(problem["text"].as_str().unwrap().contains(named), "{named}: {problem}");
    }
    assert_eq!(get(&server, "/v1/drain")["draining"], false, "nothing came of it");
    for path in ["/v1/rooms/nowhere", "/v1/rooms/demo/members/nobody"] {
        let answer = ask(&server, "DELETE", path, None);
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_found")));
    }
}

#[test]
fn a_half_that_does_not_run_is_said_to() {
    let relay = start(&["relay", "--turn", "127.0.0.1:0", "--user", "user:pass"]);
    let answer = ask(&relay, "GET", "/v1/rooms", None);
    assert_eq!(
        (answer.status, &answer.json()["text"]),
        (404, &json!("this program runs no rooms"))
    );
    assert_eq!(get(&relay, "/v1/allocations"), json!({"allocations": []}));
    let signal = start(&["signal", "--http", "127.0.0.1:0"]);
    let answer = ask(&signal, "GET", "/v1/allocations", None);
    assert_eq!(
        (answer.status, &answer.json()["text"]),
        (404, &json!("this program runs no relay"))
    );
    assert_eq!(get(&signal, "/v1/rooms"), json!({"rooms": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_and_members_are_shown_kicked_and_closed() {
    let server = start(&BOTH);
    let mut members = Vec::new();
    for room in ["ash", "birch", "cedar"] {
        members.push(Member::join(&server, room).await);
    }
    let (mut ada, bob) = (Member::join(&server, "demo").await, Member::join(&server, "demo").await);
    let page = get(&server, "/v1/rooms?limit=2");
    let names = |page: &Value| -> Vec<String> {
        let rooms = page["rooms"].as_array().unwrap().iter();
        rooms.map(|room| room["room"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (names(&page), &page["after"]),
        (vec!["ash".into(), "birch".into()], &json!("birch"))
    );
    let page = get(&server, "/v1/rooms?limit=3&after=birch");
    assert_eq!((names(&page), &page["after"]), (vec!["cedar".into(), "demo".into()], &Value::Null));
    assert_eq!(page["rooms"][1]["members"], 2);

    let room = get(&server, "/v1/rooms/demo");
    let peers: Vec<_> = room["members"].as_array().unwrap().iter().map(|it| &it["peer"]).collect();
    assert_eq!(peers, [&json!(ada.peer), &json!(bob.peer)]);
    assert_eq!(room["members"][0]["away"], false);
    assert_eq!(room["members"][1]["unacked_frames"], 1, "his welcome");
    let status = get(&server, "/v1/status");
    assert_eq!(status["counts"]["rooms"], 4);
    assert_eq!(status["listeners"]["http"], json!([server.http().to_string()]));

    let kicked = ask(&server, "DELETE", &format!("/v1/rooms/demo/members/{}", bob.peer), None);
    assert_eq!(kicked.json()["seat"], room["members"][1]["seat"]);
    let left = ada.next("left").await;
    assert_eq!((&left["peer"], &left["reason"]), (&json!(bob.peer), &json!("kicked")));
    bob.expect_close(4104).await;
    let closed = ask(&server, "DELETE", "/v1/rooms/demo", None);
    assert_eq!(closed.json(), json!({"room": "demo", "members": 1}));
    ada.expect_close(4103).await;
    assert_eq!(ask(&server, "GET", "/v1/rooms/demo", None).status, 404);
    assert_eq!(names(&get(&server, "/v1/rooms")), ["ash", "birch", "cedar"]);
}

/// Two members who hold allocations, and a peer that both send to.
struct Relayed {
    members: Vec<Member>,
    turns: Vec<seat::Turn>,
    relayed: Vec<SocketAddr>,
    peer: UdpSocket,
}

impl Relayed {
    async fn start(server: &Heliograph) -> Self {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let to = peer.local_addr().unwrap();
        let (mut members, mut turns, mut relayed) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..2 {
            let member = Member::join(server, "demo").await;
            let mut turn = member.turn(server.turn());
            assert!(turn.request(Method::Allocate));
            assert!(turn.request_for(Method::ChannelBind, Some(to)));
            let of_peer = format!("/v1/allocations?room=demo&peer={}", member.peer);
            let listed = get(server, &of_peer);
            let [allocation] = &listed["allocations"].as_array().unwrap()[..] else { panic!() };
            assert_eq!(allocation["client"], json!(turn.socket.local_addr().unwrap()));
            relayed.push(allocation["relayed"].as_str().unwrap().parse().unwrap());
            members.push(member);
            turns.push(turn);
        }
        Self { members, turns, relayed, peer }
    }

    /// Sends both ways, and expects that it comes.
    fn expect_flow(&self, number: usize) {
        let (socket, mut buffer) = (&self.turns[number].socket, [0; 64]);
        socket.send(b"\x40\0\0\x02hi").unwrap();
        let (length, from) = self.peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"hi"[..], self.relayed[number]));
        self.peer.send_to(b"hello", self.relayed[number]).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"\x40\0\0\x05hello");
    }

    /// Expects that nothing listens there any more for what the peer sends.
    fn expect_no_flow(&self, number: usize) {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.connect(self.relayed[number]).unwrap();
        wait_until("the relay port is closed", || {
            let refused =
                |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
            // The kernel says so with the next call.
            peer.send(b"hello").is_err_and(refused)
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kick_stops_what_the_relay_carried_for_the_peer_and_nothing_else() {
    let server = start(&BOTH);
    let mut there = Relayed::start(&server).await;
    there.expect_flow(0);
    there.expect_flow(1);
    there.expect_flow(1);
    let listed = get(&server, &format!("/v1/allocations?peer={}", there.members[1].peer));
    let of_bob = &listed["allocations"][0];
    assert_eq!(of_bob["from_client"], json!({"packets": 2, "bytes": 4}));
    assert_eq!(of_bob["to_client"], json!({"packets": 2, "bytes": 10}));
    assert_eq!((&of_bob["transport"], &of_bob["relays"]), (&json!("udp"), &json!("udp")));
    let lasts = of_bob["expires"].as_u64().unwrap() - of_bob["since"].as_u64().unwrap();
    assert!((599..=601).contains(&lasts), "{lasts}");

    let of_demo = "/v1/allocations?room=demo";
    assert_eq!(get(&server, of_demo)["allocations"].as_array().unwrap().len(), 2);
    let path = format!("/v1/rooms/demo/members/{}", there.members[1].peer);
    assert_eq!(ask(&server, "DELETE", &path, None).status, 200);
    let listed = || get(&server, of_demo)["allocations"].as_array().unwrap().len();
    wait_until("his allocation is gone", || listed() == 1);
    there.expect_no_flow(1);
    assert!(!there.turns[1].request(Method::Refresh), "his allocation is gone");
    assert!(!there.turns[1].request(Method::Allocate), "and his credentials with it");
    there.expect_flow(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_never_sends_to_the_admin_api() {
    let server = start(&BOTH);
    let ada = Member::join(&server, "demo").await;
    let mut turn = ada.turn(server.turn());
    assert!(turn.request(Method::Allocate));
    assert!(!turn.request_for(Method::ChannelBind, Some(address(&server))));
    let other = SocketAddr::from(([127, 0, 0, 1], 40_000));
    assert!(turn.request_for(Method::ChannelBind, Some(other)));
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_ends_allocations_and_leaves_the_session() {
    let server = start(&BOTH);
    let mut there = Relayed::start(&server).await;
    let revoke = |body: &Value| ask(&server, "POST", "/v1/revoke", Some(body)).json();
    assert_eq!(revoke(&json!({"room": "other"})), json!({"ended": 0}));
    let bob = there.members[1].peer.clone();
    assert_eq!(revoke(&json!({"room": "other", "peer": bob})), json!({"ended": 0}));
    assert_eq!(revoke(&json!({"room": "demo", "peer": bob})), json!({"ended": 1}));
    there.expect_no_flow(1);
    there.expect_flow(0);
    let listed = get(&server, "/v1/allocations");
    let user = &listed["allocations"][0]["user"];
    assert_eq!(revoke(&json!({"user": user})), json!({"ended": 1}));
    assert!(!there.turns[0].request(Method::Refresh));
    let room = get(&server, "/v1/rooms/demo");
    assert_eq!(room["members"].as_array().unwrap().len(), 2, "they are still in the room");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_credentials_are_refused_by_workers_that_never_saw_them() {
    let server = start(&[&BOTH[..], &["--workers", "2"]].concat());
    let ada = Member::join(&server, "demo").await;
    assert!(ada.turn(server.turn()).request(Method::Allocate));
    let order = json!({"room": "demo", "peer": ada.peer});
    assert_eq!(ask(&server, "POST", "/v1/revoke", Some(&order)).json(), json!({"ended": 1}));
    // The kernel spreads them over the workers.
    for _ in 0..24 {
        assert!(!ada.turn(server.turn()).request(Method::Allocate));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_room_takes_back_what_its_seats_were_given() {
    let server = start(&BOTH);
    let there = Relayed::start(&server).await;
    assert_eq!(ask(&server, "DELETE", "/v1/rooms/demo", None).json()["members"], 2);
    there.expect_no_flow(0);
    there.expect_no_flow(1);
    assert_eq!(get(&server, "/v1/allocations"), json!({"allocations": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn live_events_show_what_changes() {
    let server = start(&BOTH);
    let mut stream = connect(address(&server));
    let request =
        format!("GET /v1/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut next = move || loop {
        let line = lines.next().unwrap().unwrap();
        if let Some(event) = line.strip_prefix("data: ") {
            return serde_json::from_str::<Value>(event).unwrap();
        }
    };
    let first = next();
    assert_eq!(first["signal"]["rooms"], 0);
    assert_eq!(first["relay"]["allocations"], 0);
    fits_live(&document(&server), &first);
    let _there = Relayed::start(&server).await;
    let mut joins_per_s = 0.0;
    loop {
        let event = next();
        joins_per_s += event["signal"]["joins_per_s"].as_f64().unwrap();
        if event["relay"]["allocations"] == 2 && event["signal"]["joins"] == 2 {
            assert_eq!(
                (&event["signal"]["rooms"], &event["signal"]["members"]),
                (&json!(1), &json!(2))
            );
            let errors = event["relay"]["errors"].as_array().unwrap();
            let stale = errors.iter().find(|error| error["what"] == "438").unwrap();
            assert_eq!(stale["total"], 2, "each client asked for a nonce first");
            break;
        }
    }
    assert!(joins_per_s > 0.0);
    server.signal("TERM");
    let (status, logs) = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert!(status.success() && !logs.contains("are cut"), "a stream holds nothing up: {logs}");
}

fn fits_live(document: &Value, event: &Value) {
    let schema = &document["components"]["schemas"]["Live"]["properties"];
    for name in event.as_object().unwrap().keys() {
        assert!(schema[name].is_object(), "{name} isn't in {schema}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_told_can_be_shortened_and_ends_the_program() {
    let server = start(&["signal", "--http", "127.0.0.1:0"]);
    let mut ada = Member::join(&server, "demo").await;
    let drain = |within_s: u64, url: Option<&str>| {
        let answer =
            ask(&server, "POST", "/v1/drain", Some(&json!({"within_s": within_s, "url": url})));
        assert_eq!(answer.status, 202, "{answer:?}");
    };
    drain(3600, Some("wss://other"));
    let goaway = ada.next("goaway").await;
    assert_eq!(goaway["url"], "wss://other");
    assert!(goaway["deadline_s"].as_u64().unwrap() > 600);
    assert!(support::get(server.http(), "/readyz").starts_with("HTTP/1.1 503 "));
    let state = get(&server, "/v1/drain");
    assert_eq!((&state["draining"], &state["url"]), (&json!(true), &json!("wss://other")));
    assert_eq!(get(&server, "/v1/status")["draining"], true);

    drain(600, None);
    assert!(ada.next("goaway").await["deadline_s"].as_u64().unwrap() <= 600);
    assert!(get(&server, "/v1/drain")["left_s"].as_u64().unwrap() <= 600);
    drain(0, None);
    ada.expect_close(4003).await;
    let (status, logs) = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert!(status.success(), "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_when_all_have_gone() {
    let server = start(&["signal", "--http", "127.0.0.1:0"]);
    let mut ada = Member::join(&server, "demo").await;
    let order = json!({"within_s": 3600});
    assert_eq!(ask(&server, "POST", "/v1/drain", Some(&order)).status, 202);
    ada.next("goaway").await;
    drop(ada);
    let (status, logs) = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert!(status.success(), "{logs}");
}
