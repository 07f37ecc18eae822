//! What an operator sees of the live allocations.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use heliograph_base::{Credentials, Secret, UnixTime};
use relay_core::{AllocationInfo, AllocationQuery, Flow, SeatInfo, Transport};
use script::*;
use std::net::SocketAddr;

fn secret() -> Secret {
    Secret::from_text("north").unwrap()
}

/// Somebody with minted credentials, at an address of their own.
fn seat(number: u16, name: &str) -> Client {
    let minted = Credentials::mint(&secret(), UnixTime::from_seconds(START + 6000), name);
    let (user, password) = (minted.username.leak(), minted.password.leak());
    Client { user, password, ..Client::of([5, 5, 5, 5], number, "") }
}

fn relay() -> Script {
    let mut relay = Script::with(|config| config.secrets = vec![secret()]);
    for _ in 0..9 {
        relay.open_port(RELAY_IP);
    }
    relay
}

fn all() -> AllocationQuery {
    AllocationQuery { limit: 100, ..AllocationQuery::default() }
}

fn list(relay: &Script, query: &AllocationQuery) -> Vec<AllocationInfo> {
    relay.server.allocations(relay.now(), query)
}

fn clients(relay: &Script, query: &AllocationQuery) -> Vec<SocketAddr> {
    list(relay, query).iter().map(|info| info.client).collect()
}

#[test]
fn an_allocation_shows_whose_it_is_since_when_and_for_how_long() {
    let ada = seat(1, "demo:ada:7");
    let mut relay = relay().allocate(ada);
    relay.at(60.s());
    let [info] = &list(&relay, &all())[..] else { panic!("one allocation") };
    let expected = AllocationInfo {
        relayed: relay.relayed(ada),
        client: ada.address,
        transport: Transport::Udp,
        is_tcp: false,
        user: "demo:ada:7".to_owned(),
        seat: Some(SeatInfo { room: "demo".to_owned(), peer: "ada".to_owned(), seat: 7 }),
        age: 60.s(),
        expires_in: 540.s(),
        from_client: Flow::default(),
        to_client: Flow::default(),
    };
    assert_eq!(*info, expected);
    relay.at(599.s());
    assert_eq!(list(&relay, &all()).len(), 1);
    // Before anything made the server look at its deadlines.
    let over = heliograph_base::Now { time: relay.now().time + 1.s(), ..relay.now() };
    assert!(relay.server.allocations(over, &all()).is_empty(), "it is over");
}

#[test]
fn rooms_and_peers_are_told_apart_and_static_users_sit_nowhere() {
    let (ada, bob) = (seat(1, "demo:ada:7"), seat(2, "demo:bob:8"));
    let (cay, other) = (seat(3, "other:cay:9"), seat(4, "other:ada:10"));
    let mut relay = relay().allocate(ada).allocate(bob).allocate(cay).allocate(other);
    relay = relay.allocate(ALICE);
    let of = |room: Option<&str>, peer: Option<&str>| {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let query = AllocationQuery { room: owned(room), peer: owned(peer), ..all() };
        let mut found = clients(&relay, &query);
        found.sort();
        found
    };
    assert_eq!(of(Some("demo"), None), [ada.address, bob.address]);
    assert_eq!(of(None, Some("ada")), [ada.address, other.address]);
    assert_eq!(of(Some("demo"), Some("ada")), [ada.address]);
    assert!(of(Some("alice"), None).is_empty());
    assert_eq!(of(None, None).len(), 5);
    let query = all();
    let of_alice = list(&relay, &query).into_iter().find(|info| info.user == "alice").unwrap();
    assert_eq!(of_alice.seat, None);
}

#[test]
fn allocations_come_in_the_order_of_their_addresses_page_by_page() {
    let mut relay = relay();
    for number in 1..=9 {
        relay = relay.allocate(seat(number, "demo:ada:7"));
    }
    let whole: Vec<_> = list(&relay, &all()).iter().map(|info| info.relayed).collect();
    assert_eq!(whole.len(), 9);
    assert!(whole.is_sorted());
    let page = |after: Option<SocketAddr>| -> Vec<SocketAddr> {
        let query = AllocationQuery { after, limit: 4, ..AllocationQuery::default() };
        list(&relay, &query).iter().map(|info| info.relayed).collect()
    };
    assert_eq!(page(None), whole[..4]);
    assert_eq!(page(Some(whole[3])), whole[4..8]);
    assert_eq!(page(Some(whole[7])), whole[8..]);
}

#[test]
fn each_way_is_counted_for_each_allocation() {
    let (ada, bob) = (seat(1, "demo:ada:7"), seat(2, "demo:bob:8"));
    let mut relay = relay().allocate(ada).allocate(bob).permit(ada, BOB);
    let (of_ada, of_bob) = (relay.relayed(ada), relay.relayed(bob));
    relay = relay.permit(ada, of_bob).permit(bob, of_ada);
    relay.from_peer(BOB, ada, b"four");
    relay.from_peer(BOB, ada, b"fives");
    relay.from_peer(EVE, ada, b"not permitted");
    relay.send(ada, BOB, b"hi");
    relay.send(ada, of_bob, b"inside");
    let flow = |packets: u64, bytes: u64| Flow { packets, bytes };
    let of = |client: Client| {
        let found = list(&relay, &all()).into_iter().find(|info| info.client == client.address);
        let info = found.unwrap();
        (info.from_client, info.to_client)
    };
    assert_eq!(of(ada), (flow(2, 8), flow(2, 9)));
    assert_eq!(of(bob), (flow(0, 0), flow(1, 6)));
}
