//! What an operator asks of a relay that runs: of all its workers, whichever has the client.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod client;

use client::{Client, config, start};
use relay_server::relay_core::{AllocationQuery, Revoke};
use relay_server::{Limits, Relay, RelayConfig};
use std::net::SocketAddr;

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn listed(relay: &Relay, after: Option<SocketAddr>, limit: usize) -> Vec<SocketAddr> {
    let query = AllocationQuery { after, limit, ..AllocationQuery::default() };
    let found = wait(relay.allocations(&query)).unwrap();
    assert!(found.iter().all(|info| info.user == "alice" && info.seat.is_none()));
    found.iter().map(|info| info.relayed).collect()
}

#[test]
fn allocations_of_all_workers_are_listed_in_one_order_and_revoked() {
    let relay = start(RelayConfig { workers: 4, ..config() });
    let mut clients: Vec<_> = (0..20).map(|_| Client::new(&relay)).collect();
    let mut relayed: Vec<_> = clients.iter_mut().map(Client::allocate).collect();
    relayed.sort();
    assert_eq!(listed(&relay, None, 100), relayed);
    assert_eq!(listed(&relay, None, 7), relayed[..7]);
    assert_eq!(listed(&relay, Some(relayed[6]), 7), relayed[7..14]);
    let nobody = wait(relay.revoke_counted(&Revoke::Room("demo".to_owned())));
    assert_eq!(nobody, Ok(0));
    assert_eq!(wait(relay.revoke_counted(&Revoke::User("alice".to_owned()))), Ok(20));
    assert!(listed(&relay, None, 100).is_empty());
    clients[0].refresh(600).expect_err("it is gone");
    relay.shutdown().unwrap();
}

#[test]
fn an_answered_order_makes_room_for_the_next() {
    let limits = Limits { orders: 1, ..Limits::default() };
    let relay = start(RelayConfig { limits, ..config() });
    let mut alice = Client::new(&relay);
    let relayed = alice.allocate();
    for _ in 0..100 {
        // One at a time there is always room.
        assert_eq!(listed(&relay, None, 100), [relayed]);
    }
}
