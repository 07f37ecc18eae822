//! The Rust SDK and the real binary over TLS: by each transport, and by whom a certificate must be.

#![allow(clippy::wildcard_enum_match_arm, reason = "what isn't expected fails")]

mod support;

use heliograph_client::{
    Error, Event, MakeRoom, MatchOptions, Options, Room, RoomSearch, Server, Ticket, Transport,
    find_match, find_room, join, list_rooms, make_room,
};
use serde_json::json;
use std::time::Duration;
use support::{Heliograph, TestTls};
use tokio::time::timeout;

/// No step takes so long on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(tls: &TestTls) -> Heliograph {
    let (cert, key) = tls.files();
    let listen = ["--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--turn", "127.0.0.1:0"];
    Heliograph::start(&[&listen[..], &["--tls-cert", cert, "--tls-key", key]].concat())
}

fn url(server: &Heliograph, host: &str) -> String {
    format!("https://{host}:{}/", server.https().port())
}

fn authority(tls: &TestTls) -> Option<String> {
    let (cert, _) = tls.files();
    Some(std::fs::read_to_string(cert).expect("a certificate"))
}

async fn connected(room: &mut Room) {
    let event = async {
        while !matches!(room.next().await.expect("an open room"), Event::Connected { .. }) {}
    };
    timeout(PATIENCE, event).await.expect("connected in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_meet_over_tls_by_each_transport_where_the_authority_is_given() {
    let tls = TestTls::new();
    let server = start(&tls);
    for transport in [Transport::WebSocket, Transport::Events, Transport::Poll] {
        let options = Options {
            transports: vec![transport],
            authorities: authority(&tls),
            ..Options::default()
        };
        let url = url(&server, "localhost");
        let mut ada = join(&url, "demo", options.clone()).await.expect("a seat");
        let mut bob = join(&url, "demo", options).await.expect("a seat");
        tokio::join!(connected(&mut ada), connected(&mut bob));
        ada.set_state(&"by TLS", None).await.expect("a session");
        tokio::join!(ada.close(), bob.close());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_before_a_room_goes_over_tls_where_the_authority_is_given() {
    let (tls, other) = (TestTls::new(), TestTls::new());
    let heliograph = start(&tls);
    let url = url(&heliograph, "localhost");
    let server = Server { authorities: authority(&tls), url: url.clone() };
    let options = json!({"public": true});
    let room = make_room(&server, &MakeRoom { options, ..MakeRoom::default() }).await;
    let room = room.expect("it is made");
    let found = find_room(&server, room.as_str()).await.expect("an answer");
    assert_eq!(found.map(|found| found.room), Some(room));
    list_rooms(&server, &RoomSearch::default()).await.expect("a list");
    for http in [false, true] {
        let [ada, bob] = [0, 1].map(|_| async {
            let ticket = Ticket::new("arena", 2..=2);
            let found = find_match(&server, &ticket, MatchOptions { http });
            timeout(PATIENCE, found).await.expect("in time").expect("an answer").expect("a match")
        });
        let (ada, bob) = tokio::join!(ada, bob);
        assert_eq!(ada.room, bob.room);
    }
    for server in [Server::from(&url), Server { authorities: authority(&other), url }] {
        let refused = list_rooms(&server, &RoomSearch::default()).await;
        assert!(matches!(refused, Err(Error::Untrusted { .. })), "{refused:?}");
        for http in [false, true] {
            let ticket = Ticket::new("arena", 2..=2);
            let refused = find_match(&server, &ticket, MatchOptions { http }).await;
            assert!(matches!(refused, Err(Error::Untrusted { .. })), "{refused:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_isnt_trusted_is_refused_with_what_to_do() {
    let (tls, other) = (TestTls::new(), TestTls::new());
    let server = start(&tls);
    for (host, authorities, why) in [
        ("localhost", None, "UnknownIssuer"),
        ("localhost", authority(&other), "BadSignature"),
        ("127.0.0.1", authority(&tls), "127.0.0.1"),
    ] {
        let options = Options { authorities, ..Options::default() };
        let refused = join(&url(&server, host), "demo", options).await;
        let Err(error) = refused else { panic!("{host} is believed") };
        let text = error.to_string();
        assert!(matches!(error, Error::Untrusted { .. }) && !error.retry(), "{text}");
        assert!(text.contains(why) && text.contains("Options::authorities"), "{text}");
    }
    let options = Options { authorities: Some("mine".to_owned()), ..Options::default() };
    let refused = join(&url(&server, "localhost"), "demo", options).await;
    assert!(matches!(refused, Err(Error::BadAuthorities(_))), "{refused:?}");
}
