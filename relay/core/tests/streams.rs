//! Clients that come by TCP or TLS: what is another 5-tuple, what is padded, what ends.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use relay_core::{Effect, ListenerId, Reason, Transport};
use script::*;

/// Alice's address, but by TCP.
const ALICE_TCP: Client = Client { listener: ListenerId(2), ..ALICE };

fn relay() -> Script {
    Script::with(|config| config.listeners.push(listener(LISTENER, Transport::Tcp)))
}

#[test]
fn a_stream_from_the_same_address_is_another_client() {
    let mut relay = relay().allocate(ALICE);
    let udp = relay.relayed(ALICE);
    relay.forget_nonce(ALICE);
    let answer = relay.try_allocate(ALICE_TCP, vec![]).expect_success();
    assert_ne!(answer.relayed(), udp);
}

#[test]
fn channel_data_to_a_stream_is_padded_to_four_bytes() {
    let mut relay = relay().allocate(ALICE_TCP).bind(ALICE_TCP, 0x4001, BOB);
    for data in [&b""[..], b"1", b"12", b"123", b"1234"] {
        let mut expected = channel_data(0x4001, data);
        expected.resize(expected.len().next_multiple_of(4), 0);
        assert_eq!(relay.from_peer(BOB, ALICE_TCP, data).expect_to_client(ALICE_TCP), expected);
    }
    let padded = [0x40, 1, 0, 1, b'x', 0, 0, 0];
    let relayed = relay.relayed(ALICE_TCP);
    relay.from_client(ALICE_TCP, &padded).expect_to_peer(relayed, BOB, b"x");
}

#[test]
fn channel_data_to_a_datagram_client_is_not_padded() {
    let mut relay = relay().allocate(ALICE).bind(ALICE, 0x4001, BOB);
    let expected = channel_data(0x4001, b"1");
    assert_eq!(relay.from_peer(BOB, ALICE, b"1").expect_to_client(ALICE), expected);
}

#[test]
fn an_allocation_ends_with_its_stream() {
    let mut relay = relay().allocate(ALICE_TCP).permit(ALICE_TCP, BOB);
    relay.effects();
    let port = relay.port_of(ALICE_TCP);
    let now = relay.now();
    relay.server.handle_client_gone(now, ListenerId(0), ALICE.address);
    relay.from_peer(BOB, ALICE_TCP, b"hi").expect_data_indication(ALICE_TCP, BOB, b"hi");
    relay.server.handle_client_gone(now, ALICE_TCP.listener, ALICE_TCP.address);
    assert_eq!(relay.effects(), [Effect::ClosePort(port)]);
    relay.from_peer(BOB, ALICE_TCP, b"hi").expect_drop(Reason::NoAllocation);
}
