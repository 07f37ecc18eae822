//! What the Rust SDK asks of the real binary before there is a room, and by requests beside one.

#![allow(clippy::wildcard_enum_match_arm, reason = "what isn't expected fails")]

mod support;

use heliograph_client::{
    Condition, Error, ErrorCode, Event, MakeRoom, Match, MatchOptions, Options, Relax, Room,
    RoomEvent, RoomId, RoomSearch, Ticket, To, Transport, Wish, find_match, find_room, join,
    list_rooms, make_room,
};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Heliograph, get, wait_until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// No step takes so long on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn start() -> (Heliograph, String) {
    let server = Heliograph::start(&["--http", "127.0.0.1:0", "--turn", "127.0.0.1:0"]);
    let url = format!("http://{}", server.http());
    (server, url)
}

fn id(name: &str) -> RoomId {
    RoomId::parse(name).expect("a room's name")
}

fn room(name: &str, rank: u32, more: &Value) -> MakeRoom {
    let mut options = json!({"public": true, "state": {"mode": "duel", "rank": rank}});
    for (key, value) in more.as_object().expect("options") {
        options[key] = value.clone();
    }
    let idle = Some(Duration::from_secs(600));
    MakeRoom { room: Some(id(name)), options, idle, ..MakeRoom::default() }
}

async fn found(url: &str, search: &RoomSearch) -> Vec<String> {
    let rooms = list_rooms(url, search).await.expect("a list");
    rooms.iter().map(|room| room.room.to_string()).collect()
}

#[tokio::test]
async fn public_rooms_are_made_and_found_by_what_they_are() -> Result<(), Error> {
    let (_server, url) = start();
    make_room(&url, &room("low", 1000, &json!({"capacity": 2}))).await?;
    make_room(&url, &room("high", 1400, &json!({}))).await?;
    make_room(&url, &room("locked", 1200, &json!({"password": "mellon"}))).await?;
    let hidden = make_room(&url, &MakeRoom::default()).await?;
    assert!(hidden.as_str().len() >= 16, "nobody can guess {hidden}");

    let by_rank = RoomSearch { sort: Some("-state.rank".to_owned()), ..RoomSearch::default() };
    assert_eq!(found(&url, &by_rank).await, ["high", "locked", "low"]);
    let open = RoomSearch { open: true, ..by_rank.clone() };
    assert_eq!(found(&url, &open).await, ["high", "low"]);
    assert_eq!(found(&url, &RoomSearch { limit: Some(1), ..open.clone() }).await, ["high"]);
    let conditions = vec!["mode=duel".to_owned(), "rank<1300".to_owned()];
    assert_eq!(found(&url, &RoomSearch { conditions, ..by_rank }).await, ["locked", "low"]);

    let low = find_room(&url, "low").await?.expect("it is public");
    assert_eq!((low.members, low.capacity, low.open, low.sealed), (0, 2, true, false));
    assert_eq!(low.state.map(|state| state.value["rank"].clone()), Some(json!(1000)));
    assert!(find_room(&url, "locked").await?.is_some_and(|room| room.locked && !room.open));
    for name in [hidden.as_str(), "nobody"] {
        assert_eq!(find_room(&url, name).await?, None);
    }
    let seat = join(&url, "low", Options::default()).await?;
    assert_eq!(seat.state().map(|state| state.value), Some(json!({"mode": "duel", "rank": 1000})));
    Ok(())
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_refused_with_its_reason() {
    let (_server, url) = start();
    make_room(&url, &room("taken", 1, &json!({}))).await.expect("made");
    let refused = |error: Error| match error {
        Error::Refused { code, text, .. } if !text.is_empty() => code,
        other => panic!("{other}"),
    };
    let again = make_room(&url, &room("taken", 1, &json!({}))).await.expect_err("taken");
    assert!(!again.retry());
    assert_eq!(refused(again), ErrorCode::RoomTaken);
    let none = make_room(&url, &room("none", 1, &json!({"capacity": 0}))).await;
    assert_eq!(refused(none.expect_err("no rules")), ErrorCode::BadRules);
    let conditions = vec!["rank".to_owned()];
    let search = RoomSearch { conditions, ..RoomSearch::default() };
    assert_eq!(refused(list_rooms(&url, &search).await.expect_err("none")), ErrorCode::BadFrame);
    for http in [false, true] {
        let alone = find_match(&url, &Ticket::new("arena", 1..=1), MatchOptions { http }).await;
        assert_eq!(refused(alone.expect_err("no ticket")), ErrorCode::BadTicket);
    }
    assert!(matches!(find_room(&url, "a b").await, Err(Error::BadRoom(_))));
    assert!(matches!(find_room("nowhere", "demo").await, Err(Error::BadUrl { .. })));
}

#[tokio::test]
async fn who_is_no_heliograph_or_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let url = format!("http://{address}");
    let answers = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let _ = stream.read(&mut [0; 1024]).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await
    });
    let stranger = list_rooms(&url, &RoomSearch::default()).await.expect_err("no list");
    assert!(matches!(stranger, Error::NotHeliograph { .. }), "{stranger}");
    answers.await.expect("no panic").expect("answered");
    let gone = make_room(&url, &MakeRoom::default()).await.expect_err("nobody is there");
    assert!(matches!(gone, Error::Unreachable { .. }) && gone.retry(), "{gone}");
    assert!(gone.to_string().contains(&address.to_string()), "{gone}");
    let gone = find_match(&url, &Ticket::new("arena", 2..=2), MatchOptions::default()).await;
    assert!(matches!(gone, Err(Error::Unreachable { .. })), "{gone:?}");
}

/// The texts of a page, and the number of its last one.
fn read(events: &[RoomEvent]) -> (Vec<String>, u64) {
    let said = events.iter().map(|event| match event {
        RoomEvent::Broadcast { event: Some(event), data, .. } => (data.get().to_owned(), *event),
        other => panic!("{other:?}"),
    });
    let (texts, numbers): (Vec<_>, Vec<_>) = said.unzip();
    (texts, numbers.last().copied().unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_read_page_by_page_as_long_as_there_is_a_seat() -> Result<(), Error> {
    let (_server, url) = start();
    for transport in [Transport::WebSocket, Transport::Poll] {
        let create = json!({"history": 4, "hosted": true});
        let transports = vec![transport];
        let options = Options { create, transports, ..Options::default() };
        let ada = join(&url, "demo", options.clone()).await?;
        let mut bob = join(&url, "demo", options).await?;
        for n in 0..6 {
            ada.broadcast(&n, To::All).await?;
        }
        let page = bob.history(0, Some(3)).await?;
        let (texts, last) = read(&page.events);
        assert_eq!((&*texts.concat(), page.missed, page.last_event), ("234", true, 6));
        let page = bob.history(last, None).await?;
        assert_eq!((&*read(&page.events).0.concat(), page.missed), ("5", false));
        assert!(bob.history(page.last_event, None).await?.events.is_empty());

        ada.kick(bob.peer_id(), false).await?;
        let ended = async { while !matches!(next(&mut bob).await, Event::SignalingEnded(_)) {} };
        ended.await;
        let lost = bob.history(0, None).await;
        assert!(matches!(lost, Err(Error::SeatLost)), "{lost:?}");
        tokio::join!(ada.close(), bob.close());
    }
    Ok(())
}

async fn next(room: &mut Room) -> Event {
    timeout(PATIENCE, room.next()).await.expect("an event in time").expect("an open room")
}

fn ticket(rank: f64) -> Ticket {
    let mut ticket = Ticket::new("arena-7", 2..=2);
    ticket.properties.insert("rank".to_owned(), rank.into());
    ticket.query.push(Condition {
        property: "rank".to_owned(),
        wish: Wish::Within(100.0),
        relax: Some(Relax { after: Duration::from_secs(600), by: None, to: None }),
    });
    ticket
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_fit_meet_in_a_room_of_their_own_whichever_way_they_asked() -> Result<(), Error> {
    let (_server, url) = start();
    for https in [[false, false], [true, false], [true, true]] {
        let seek = |rank, http| {
            let url = url.clone();
            tokio::spawn(
                async move { find_match(&url, &ticket(rank), MatchOptions { http }).await },
            )
        };
        let (ada, bob) = (seek(1200.0, https[0]), seek(1250.0, https[1]));
        let (ada, bob) = tokio::join!(timeout(PATIENCE, ada), timeout(PATIENCE, bob));
        let found = |it: Result<Result<_, _>, _>| -> Result<Option<Match>, Error> {
            it.expect("in time").expect("no panic")
        };
        let (ada, bob) = (found(ada)?.expect("a match"), found(bob)?.expect("a match"));
        assert_eq!((&ada.room, ada.players), (&bob.room, 2));
        let mut seats = [ada.seats, bob.seats].concat();
        seats.sort_unstable();
        assert_eq!(seats, [0, 1]);
        let mut here = join(&url, ada.room.as_str(), Options::default()).await?;
        let there = join(&url, bob.room.as_str(), Options::default()).await?;
        let Event::PeerJoined(peer) = next(&mut here).await else { panic!("they meet") };
        assert_eq!(&peer.id(), there.peer_id());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_nobody_fits_expires_and_one_that_nobody_waits_for_is_taken_back() {
    let (server, url) = start();
    let waiting = |count: u32| {
        let line = format!("heliograph_signal_tickets_waiting {count}\n");
        wait_until(&line, || get(server.http(), "/metrics").contains(&line));
    };
    for http in [false, true] {
        let lonely = Ticket { timeout: Some(Duration::from_secs(1)), ..ticket(1.0) };
        let nobody = find_match(&url, &lonely, MatchOptions { http }).await;
        assert_eq!(nobody.expect("no error"), None);

        let held = url.clone();
        let seeking =
            tokio::spawn(
                async move { find_match(&held, &ticket(1200.0), MatchOptions { http }).await },
            );
        waiting(1);
        seeking.abort();
        waiting(0);
    }
}
