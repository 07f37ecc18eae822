//! A client takes its allocation along to other addresses, on real sockets. RFC 8016.

mod client;

use client::{Client, Incoming, config, counter, peer, receive_from, start, wait_until};
use relay_server::RelayConfig;

const CHANNEL: u16 = 0x4000;

/// The kernel chooses the worker of each address: of sixteen addresses and four workers, all have
/// the same worker once in 4^15 runs.
#[test]
fn an_allocation_goes_along_from_address_to_address_whatever_the_worker() {
    let relay = start(RelayConfig { workers: 4, ..config() });
    let (mut alice, bob) = (Client::new(&relay), peer("127.0.0.1:0"));
    let (relayed, mut ticket) = alice.allocate_mobile();
    alice.bind(CHANNEL, bob.local_addr().unwrap()).unwrap();
    for number in 0..16_u8 {
        let mut moved = Client::new(&relay);
        ticket = moved.take_along(&ticket).unwrap();
        bob.send_to(&[number, 0], relayed).unwrap();
        assert_eq!(alice.receive(), Incoming::Channel(CHANNEL, vec![number, 0]));
        moved.send(CHANNEL, &[number, 1]);
        assert_eq!(receive_from(&bob), (vec![number, 1], relayed));
        bob.send_to(&[number, 2], relayed).unwrap();
        assert_eq!(moved.receive(), Incoming::Channel(CHANNEL, vec![number, 2]));
        // Requests go their way too.
        moved.permit(bob.local_addr().unwrap()).unwrap();
        assert_eq!(alice.refresh(600), Err(437));
        alice = moved;
    }
    wait_until("the counters are there", || {
        counter(&relay, "relay_allocations_moved", None) == 16
            && counter(&relay, "relay_datagrams_forwarded", None) > 0
    });
    assert_eq!(counter(&relay, "relay_allocations", None), 1);
    relay.shutdown().unwrap();
}
