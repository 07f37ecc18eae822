//! Dual allocations: one IPv4 and one IPv6 relayed transport address for one client. RFC 8656 §7.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use relay_core::wire::{Method, attribute};
use relay_core::{Effect, Reason, RelayedPorts};
use script::*;
use std::net::SocketAddr;
use stun_rs::AddressFamily;
use stun_rs::attributes::turn::{
    AdditionalAddressFamily, AddressErrorCode, EvenPort, LifeTime, RequestedAddressFamily,
    ReservationToken, XorRelayedAddress,
};
use stun_rs::methods::{ALLOCATE, REFRESH};

const UDP: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
const ADDITIONAL_V6: (u16, &[u8]) = (attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
/// A peer that the policy permits.
const PEER_V6: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V6(std::net::Ipv6Addr::new(0x2a00, 0, 0, 0, 0, 0, 0, 8)),
    8888,
);

/// Alice with both families, and her two relayed transport addresses.
fn dual(relay: &mut Script) -> [SocketAddr; 2] {
    let both = vec![AdditionalAddressFamily::new(AddressFamily::IPv6).into()];
    let answer = relay.try_allocate(ALICE, both).expect_success();
    let mut relayed = all_relayed(&answer);
    relayed.sort();
    relayed.try_into().unwrap()
}

fn all_relayed(answer: &Answer) -> Vec<SocketAddr> {
    let attributes = answer.message.attributes().iter();
    let relayed = attributes.filter(|one| one.is_xor_relayed_address());
    relayed.map(|one| *one.expect_xor_relayed_address().socket_address()).collect()
}

fn family(family: AddressFamily) -> stun_rs::StunAttribute {
    RequestedAddressFamily::new(family).into()
}

#[test]
fn a_client_can_have_both_families_at_once() {
    let mut relay = Script::new();
    let [v4, v6] = dual(&mut relay);
    assert_eq!((v4.ip(), v6.ip()), (RELAY_IP, RELAY_IP_V6));
    assert_eq!(relay.effects().len(), 2);
    relay.try_permit(ALICE, &[BOB, PEER_V6]).expect_success();
    relay.send(ALICE, BOB, b"4").expect_to_peer(v4, BOB, b"4");
    relay.send(ALICE, PEER_V6, b"6").expect_to_peer(v6, PEER_V6, b"6");
    let at = |relayed| relay_core::At::Port(port_at(relayed));
    relay.datagram(at(v4), BOB, b"4").expect_data_indication(ALICE, BOB, b"4");
    relay.datagram(at(v6), PEER_V6, b"6").expect_data_indication(ALICE, PEER_V6, b"6");
}

#[test]
fn channels_lead_to_the_family_of_their_peer() {
    let mut relay = Script::new();
    let [v4, v6] = dual(&mut relay);
    relay.try_bind(ALICE, 0x4000, BOB).expect_success();
    relay.try_bind(ALICE, 0x4001, PEER_V6).expect_success();
    relay.channel_data(ALICE, 0x4000, b"4").expect_to_peer(v4, BOB, b"4");
    relay.channel_data(ALICE, 0x4001, b"6").expect_to_peer(v6, PEER_V6, b"6");
    // RFC 8656 §12.2: "The channel number is not currently bound to a different transport address".
    relay.try_bind(ALICE, 0x4000, PEER_V6).expect_error(400);
    relay.try_bind(ALICE, 0x4001, BOB).expect_error(400);
}

#[test]
fn a_retransmitted_dual_allocate_gets_the_same_answer() {
    let mut relay = Script::new();
    let request = relay.signed_raw(ALICE, Method::Allocate, &[UDP, ADDITIONAL_V6]);
    let first = relay.from_client(ALICE, &request);
    assert_eq!(first, relay.from_client(ALICE, &request));
    assert_eq!(all_relayed(&first.expect_answer(ALICE)).len(), 2);
    relay.ask(ALICE, ALLOCATE, vec![]).expect_error(437);
}

#[test]
fn a_refresh_can_end_one_family_and_leave_the_other() {
    for (gone, left) in [(0, 1), (1, 0)] {
        let families = [AddressFamily::IPv4, AddressFamily::IPv6];
        let mut relay = Script::new();
        let relayed = dual(&mut relay);
        let peers = [BOB, PEER_V6];
        relay.try_permit(ALICE, &peers).expect_success();
        relay.effects();
        let farewell = vec![family(families[gone]), LifeTime::from(0).into()];
        relay.ask(ALICE, REFRESH, farewell.clone()).expect_success();
        assert_eq!(relay.effects(), [Effect::ClosePort(port_at(relayed[gone]))]);
        relay.send(ALICE, peers[gone], b"x").expect_drop(Reason::NoPermission);
        relay.send(ALICE, peers[left], b"x").expect_to_peer(relayed[left], peers[left], b"x");
        relay.ask(ALICE, REFRESH, farewell).expect_error(443);
        relay.try_permit(ALICE, &[peers[gone]]).expect_error(443);
        relay.ask(ALICE, REFRESH, vec![family(families[left])]).expect_success();
        relay.try_refresh(ALICE, 0).expect_success();
        assert_eq!(relay.server.counters().allocations_live(), 0);
        relay.try_refresh(ALICE, 0).expect_error(437);
    }
}

#[test]
fn each_family_has_its_own_time_to_expiry() {
    let mut relay = Script::new();
    let [v4, v6] = dual(&mut relay);
    relay.effects();
    relay.at(500.s()).ask(ALICE, REFRESH, vec![family(AddressFamily::IPv6)]).expect_success();
    relay.at(600.s());
    relay.server.handle_timeout(relay.now());
    assert_eq!(relay.effects(), [Effect::ClosePort(port_at(v4))]);
    relay.at(1100.s());
    relay.server.handle_timeout(relay.now());
    assert_eq!(relay.effects(), [Effect::ClosePort(port_at(v6))]);
}

#[test]
fn a_refresh_without_a_family_means_both() {
    let mut relay = Script::new();
    dual(&mut relay);
    relay.effects();
    relay.at(500.s()).try_refresh(ALICE, 600).expect_success();
    relay.at(1099.s());
    relay.server.handle_timeout(relay.now());
    assert_eq!(relay.effects(), []);
    relay.try_refresh(ALICE, 0).expect_success();
    assert_eq!(relay.effects().len(), 2);
}

#[test]
fn what_is_missing_is_told_by_an_address_error_code() {
    let without = |ip| Script::worker(config(), 0, RelayedPorts::new([ip]).into());
    let mut empty = Script::without_stock(config(), 0, ports());
    empty.open_port(RELAY_IP);
    let cases = [
        (without(RELAY_IP), AddressFamily::IPv6, 440),
        (without(RELAY_IP_V6), AddressFamily::IPv4, 440),
        (empty, AddressFamily::IPv6, 508),
    ];
    for (mut relay, missing, code) in cases {
        let request = relay.signed_raw(ALICE, Method::Allocate, &[UDP, ADDITIONAL_V6]);
        let first = relay.from_client(ALICE, &request);
        assert_eq!(first, relay.from_client(ALICE, &request));
        let answer = first.expect_answer(ALICE).expect_success();
        assert!(answer.message.get::<XorRelayedAddress>().is_some());
        let error = answer.message.get::<AddressErrorCode>().unwrap();
        let error = error.expect_address_error_code();
        assert_eq!((error.family(), error.error_code().error_code()), (missing, code));
    }
}

#[test]
fn neither_family_is_508() {
    let mut relay = Script::without_stock(config(), 0, ports());
    relay.ask_raw(ALICE, Method::Allocate, &[UDP, ADDITIONAL_V6]).expect_error(508);
}

#[test]
fn the_second_family_counts_against_the_quota() {
    let mut relay = Script::with(|config| config.allocations_per_user_max = 1);
    let request = relay.signed_raw(ALICE, Method::Allocate, &[UDP, ADDITIONAL_V6]);
    let answer = relay.from_client(ALICE, &request).expect_answer(ALICE).expect_success();
    assert_eq!(all_relayed(&answer).len(), 1);
    assert!(answer.message.get::<AddressErrorCode>().is_some());
}

#[test]
fn contradicting_attributes_are_400() {
    let mut relay = Script::new();
    let additional = || AdditionalAddressFamily::new(AddressFamily::IPv6).into();
    let token = || ReservationToken::from([1; 8]).into();
    for more in [
        vec![additional(), family(AddressFamily::IPv4)],
        vec![additional(), token()],
        vec![additional(), EvenPort::new(true).into()],
        vec![AdditionalAddressFamily::new(AddressFamily::IPv4).into()],
    ] {
        relay.try_allocate(ALICE, more).expect_error(400);
    }
    relay.try_allocate(ALICE, vec![additional(), EvenPort::new(false).into()]).expect_success();
}

#[test]
fn a_closed_stream_ends_both_families() {
    let mut relay = Script::new();
    dual(&mut relay);
    relay.effects();
    let now = relay.now();
    relay.server.handle_client_gone(now, ALICE.listener, ALICE.address);
    assert_eq!(relay.effects().len(), 2);
}
