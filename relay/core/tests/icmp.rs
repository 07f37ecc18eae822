//! ICMP errors about what a client sent to its peers. RFC 8656 §11.5.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use relay_core::wire::{Method, attribute};
use relay_core::{IcmpError, PortId, Reason, Scratch};
use script::*;
use std::net::SocketAddr;
use stun_rs::attributes::turn::{Data, Icmp, RequestedAddressFamily, XorPeerAddress};
use stun_rs::methods::DATA;
use stun_rs::{AddressFamily, MessageClass, MessageDecoderBuilder};

const UNREACHABLE: IcmpError = IcmpError { kind: 3, code: 3, mtu: 0 };
/// A peer that the policy permits.
const PEER_V6: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V6(std::net::Ipv6Addr::new(0x2a00, 0, 0, 0, 0, 0, 0, 8)),
    8888,
);

fn telling() -> Script {
    Script::with(|config| config.icmp_to_all = true)
}

fn icmp(relay: &mut Script, peer: SocketAddr, error: IcmpError) -> Outcome {
    let (now, port) = (relay.now(), relay.port_of(ALICE));
    Outcome::of(relay.server.handle_icmp(now, port, peer, error, &mut Scratch::new()))
}

/// Peer, type, code and error data of an indication to Alice.
fn read(outcome: Outcome) -> (SocketAddr, u8, u16, [u8; 4]) {
    let bytes = outcome.expect_to_client(ALICE);
    let (message, length) = MessageDecoderBuilder::default().build().decode(&bytes).unwrap();
    assert_eq!(length, bytes.len());
    assert_eq!((message.method(), message.class()), (DATA, MessageClass::Indication));
    assert!(message.get::<Data>().is_none());
    let peer = message.get::<XorPeerAddress>().unwrap().expect_xor_peer_address();
    let icmp = message.get::<Icmp>().unwrap().expect_icmp();
    let data = icmp.error_data().try_into().unwrap();
    (*peer.socket_address(), icmp.icmp_type().get(), icmp.icmp_code().get(), data)
}

#[test]
fn a_client_is_told_of_an_icmp_error_about_its_peer() {
    let mut relay = telling().allocate(ALICE).bind(ALICE, 0x4000, BOB);
    assert_eq!(read(icmp(&mut relay, BOB, UNREACHABLE)), (BOB, 3, 3, [0; 4]));
    // "If destination port [...] is available [...]; otherwise, the port portion is set to zero."
    let without_port = SocketAddr::new(BOB.ip(), 0);
    let error = IcmpError { kind: 11, code: 1, mtu: 7 };
    assert_eq!(read(icmp(&mut relay, without_port, error)), (without_port, 11, 1, [0; 4]));
}

#[test]
fn the_mtu_is_told_when_a_datagram_was_too_big() {
    let mut relay = telling().allocate(ALICE).permit(ALICE, BOB);
    let error = IcmpError { kind: 3, code: 4, mtu: 1400 };
    assert_eq!(read(icmp(&mut relay, BOB, error)), (BOB, 3, 4, [0, 0, 5, 120]));

    let mut relay = telling();
    let ipv6 = vec![RequestedAddressFamily::new(AddressFamily::IPv6).into()];
    relay.try_allocate(ALICE, ipv6).expect_success();
    relay.try_permit(ALICE, &[PEER_V6]).expect_success();
    let error = IcmpError { kind: 2, code: 0, mtu: 1280 };
    assert_eq!(read(icmp(&mut relay, PEER_V6, error)), (PEER_V6, 2, 0, [0, 0, 5, 0]));
}

#[test]
fn other_kinds_of_icmp_are_dropped() {
    let mut relay = telling().allocate(ALICE).permit(ALICE, BOB);
    for kind in (0..=255).filter(|kind| ![3, 11].contains(kind)) {
        let error = IcmpError { kind, ..UNREACHABLE };
        icmp(&mut relay, BOB, error).expect_drop(Reason::Icmp);
    }
    for kind in (0..=255).filter(|kind| ![1, 2, 3].contains(kind)) {
        let error = IcmpError { kind, ..UNREACHABLE };
        icmp(&mut relay, PEER_V6, error).expect_drop(Reason::Icmp);
    }
}

#[test]
fn an_icmp_error_needs_a_permission_like_data() {
    let mut relay = telling().allocate(ALICE).permit(ALICE, BOB);
    icmp(&mut relay, EVE, UNREACHABLE).expect_drop(Reason::NoPermission);
    read(icmp(&mut relay, BOB_AGAIN, UNREACHABLE));
    relay.at(300.s());
    icmp(&mut relay, BOB, UNREACHABLE).expect_drop(Reason::NoPermission);
    let now = relay.now();
    let mut scratch = Scratch::new();
    let outcome = relay.server.handle_icmp(now, PortId(9), BOB, UNREACHABLE, &mut scratch);
    Outcome::of(outcome).expect_drop(Reason::NoAllocation);
}

#[test]
fn a_permission_inside_the_relay_lets_no_icmp_in() {
    let mut relay = telling().allocate(ALICE);
    let own = SocketAddr::new(RELAY_IP, 9);
    relay.try_permit(ALICE, &[own]).expect_success();
    icmp(&mut relay, own, UNREACHABLE).expect_drop(Reason::PeerDenied);
}

#[test]
fn only_a_client_that_knows_rfc_8656_is_told_unless_configured() {
    let mut relay = Script::new().allocate(ALICE).permit(ALICE, BOB);
    icmp(&mut relay, BOB, UNREACHABLE).expect_drop(Reason::Icmp);

    let transport = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0][..]);
    let knowing = [
        (attribute::DONT_FRAGMENT, &[][..]),
        (attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]),
    ];
    for shown in knowing {
        let mut relay = Script::new();
        relay.ask_raw(ALICE, Method::Allocate, &[transport, shown]).expect_success();
        relay.try_permit(ALICE, &[BOB]).expect_success();
        let (now, mut scratch) = (relay.now(), Scratch::new());
        let verdict = relay.server.handle_icmp(now, PortId(0), BOB, UNREACHABLE, &mut scratch);
        assert_eq!(read(Outcome::of(verdict)), (BOB, 3, 3, [0; 4]));
    }
}
