//! Who gets in, and who is told to come back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::json;
use signal_core::Config;
use signal_server::{AdmissionLimits, SignalConfig};
use std::time::Duration;
use support::{Bystanders, Client, Server, patiently, unpaced};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

async fn server(admission: AdmissionLimits) -> Server {
    let hub = Config { messages_per_s: 0, ..Config::default() };
    let trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    Server::start(SignalConfig { admission, hub, trusted_proxies, ..SignalConfig::default() }).await
}

/// Opens a WebSocket through a proxy that says who the client is.
async fn connect_for(server: &Server, forwarded: &str) -> Result<Client, (u16, String)> {
    let url = format!("ws://{}/v1/ws", server.address);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
    let stream = TcpStream::connect(server.address).await.unwrap();
    match patiently(client_async(request, stream)).await {
        Ok((socket, _)) => Ok(Client::of(socket)),
        Err(Error::Http(answer)) => {
            let retry_after = &answer.headers()["retry-after"];
            Err((answer.status().as_u16(), retry_after.to_str().unwrap().to_owned()))
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_others_are_not_touched() {
    let limits = AdmissionLimits { address_connections_max: 3, ..AdmissionLimits::default() };
    let server = server(limits).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(connect_for(&server, "192.0.2.1").await.unwrap());
    }
    let (status, retry_after) = connect_for(&server, "6.6.6.6, 192.0.2.1").await.err().unwrap();
    assert_eq!((status, &*retry_after), (429, "5"));
    let mut other = connect_for(&server, "192.0.2.2").await.unwrap();
    other.hello("demo").await;
    drop(clients.pop());
    let again = async {
        while connect_for(&server, "192.0.2.1").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    patiently(again).await;
}

#[tokio::test]
async fn joins_beyond_the_rate_of_an_address_are_told_when_to_come_back() {
    let limits = AdmissionLimits {
        address_joins_per_s: 2,
        address_joins_burst: 2,
        ..AdmissionLimits::default()
    };
    let server = server(limits).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(connect_for(&server, "192.0.2.1").await.unwrap());
    }
    for client in &mut clients[..2] {
        client.hello("demo").await;
    }
    let hello = json!({"type": "hello", "room": "demo", "id": 7});
    clients[2].send(&hello).await;
    let error = clients[2].expect_error("rate_limited").await;
    assert_eq!((&error["retry"], &error["id"]), (&json!(true), &json!(7)));
    let after = error["retry_after_ms"].as_u64().unwrap();
    assert!((1..=500).contains(&after), "{error}");
    connect_for(&server, "192.0.2.2").await.unwrap().hello("demo").await;
    // On the same connection, when its time has come.
    tokio::time::sleep(Duration::from_millis(after)).await;
    clients[2].hello("demo").await;
}

#[tokio::test]
async fn under_a_storm_of_joins_sessions_go_on_and_are_resumed() {
    let limits = AdmissionLimits {
        joins_per_s: 2,
        joins_burst: 20,
        address_joins_per_s: 0,
        address_connections_max: 0,
        ..AdmissionLimits::default()
    };
    let server = server(limits).await;
    let bystanders = Bystanders::start(&server).await;
    let (mut ada, welcome) = server.join("demo").await;
    let mut refused = Vec::new();
    for _ in 0..200 {
        let mut client = server.connect().await;
        client.send(&json!({"type": "hello", "room": "storm"})).await;
        let answer = client.next().await;
        if answer["type"] == "error" {
            assert_eq!(answer["code"], "busy");
            refused.push(answer["retry_after_ms"].as_u64().unwrap());
        }
    }
    assert!(refused.len() > 100, "{}", refused.len());
    let (first, last) = (refused[0], refused[refused.len() - 1]);
    assert!(last >= first + 1000, "they come back one after the other: {first} to {last} ms");
    let mut again = server.connect().await;
    again.resume(&welcome, 1).await;
    assert_eq!(again.next().await["type"], "resumed");
    ada.send(&json!({"type": "ping"})).await;
    bystanders.stop().await;
}

/// How a client of a storm fared: it has a seat, or the room was full.
async fn storm(mut client: Client, room: &str) -> Option<Client> {
    loop {
        client.send(&json!({"type": "hello", "room": room})).await;
        let answer = client.next().await;
        if answer["type"] == "welcome" {
            let others = answer["members"].as_array().unwrap().len();
            assert!(others < SEATS, "{others} others where {SEATS} may be");
            return Some(client);
        }
        match answer["code"].as_str().unwrap() {
            "room_full" => return None,
            "busy" => {
                let after = answer["retry_after_ms"].as_u64().unwrap();
                tokio::time::sleep(Duration::from_millis(after)).await;
            }
            other => panic!("{other}: {answer}"),
        }
    }
}

/// Seats of each room in a storm.
const SEATS: usize = 8;

#[tokio::test]
async fn a_tenfold_storm_fills_each_room_and_leaves_nothing_behind() {
    const ROOMS: usize = 20;
    let admission = AdmissionLimits {
        joins_per_s: 200,
        joins_burst: 20,
        address_joins_per_s: 0,
        ..AdmissionLimits::default()
    };
    let patient = Duration::from_secs(600);
    let hub = Config { heartbeat_interval: patient, heartbeat_timeout: 2 * patient, ..unpaced() };
    let hub = Config { room_members_max: SEATS, ..hub };
    let server = Server::start(SignalConfig { admission, hub, ..SignalConfig::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..ROOMS * (SEATS + 2) {
        clients.push(server.connect().await);
    }
    let mut coming = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        coming.spawn(async move { storm(client, &format!("room-{}", number % ROOMS)).await });
    }
    let seated: Vec<Client> = coming.join_all().await.into_iter().flatten().collect();
    assert_eq!(seated.len(), ROOMS * SEATS, "each seat is taken, and no other");
    server.expect_counter("signal_members", (ROOMS * SEATS) as u64).await;
    for mut client in seated {
        client.send(&json!({"type": "leave"})).await;
        client.expect_close(1000).await;
    }
    server.expect_counter("signal_members", 0).await;
    server.expect_counter("signal_rooms", 0).await;
}

#[tokio::test]
async fn posts_and_polls_of_an_address_have_a_rate() {
    let limits = AdmissionLimits {
        address_requests_per_s: 1,
        address_requests_burst: 3,
        ..AdmissionLimits::default()
    };
    let server = server(limits).await;
    let request = "GET /v1/poll?session=demo:me&key=AAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\nhost: x\r\n\
        connection: close\r\nx-forwarded-for: 192.0.2.1\r\n\r\n";
    for _ in 0..3 {
        let answer = server.exchange(request).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    let answer = server.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(answer.contains(r#""code":"rate_limited""#), "{answer}");
}

#[tokio::test]
async fn a_client_that_sends_too_fast_is_slowed_down_and_loses_nothing() {
    let hub = Config { messages_per_s: 200, messages_burst: 50, ..Config::default() };
    let server = Server::start(SignalConfig { hub, ..SignalConfig::default() }).await;
    let (mut ada, _) = server.join("demo").await;
    let (mut bob, welcome) = server.join("demo").await;
    let to = welcome["peer"].as_str().unwrap().to_owned();
    let sending = tokio::spawn(async move {
        for number in 0..300 {
            ada.signal(&to, json!(number)).await;
        }
        ada
    });
    for number in 0..300 {
        assert_eq!(bob.next().await["data"], number);
    }
    sending.await.unwrap();
}
