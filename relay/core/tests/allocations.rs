//! Binding, Allocate and Refresh: who gets what, for how long, and who is refused.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use relay_core::wire::{Method, attribute};
use relay_core::{Effect, PortId, Reason};
use script::*;
use stun_rs::attributes::stun::{Realm, UserName};
use stun_rs::attributes::turn::{EvenPort, LifeTime, RequestedAddressFamily, RequestedTrasport};
use stun_rs::methods::{ALLOCATE, BINDING, REFRESH};
use stun_rs::protocols::UDP;
use stun_rs::{AddressFamily, MessageClass};

#[test]
fn binding_tells_a_client_its_address() {
    let mut relay = Script::new();
    for client in [ALICE, DAVE_V6] {
        let request = encode(&relay.begin(BINDING, MessageClass::Request).build());
        let answer = relay.from_client(client, &request).expect_answer(client).expect_success();
        assert_eq!(answer.mapped(), client.address);
    }
}

#[test]
fn a_binding_indication_gets_no_answer() {
    let mut relay = Script::new();
    let indication = encode(&relay.begin(BINDING, MessageClass::Indication).build());
    assert_eq!(relay.from_client(ALICE, &indication), Outcome::Done);
}

#[test]
fn a_client_without_credentials_is_challenged_in_few_bytes() {
    let mut relay = Script::new();
    let request = encode(&relay.begin(ALLOCATE, MessageClass::Request).build());
    let answer = relay.from_client(ALICE, &request).expect_answer(ALICE).expect_error(401);
    assert!(!answer.is_signed());
    assert_eq!(answer.message.get::<Realm>().unwrap().expect_realm().as_str(), REALM);
    assert!(answer.bytes.len() <= 76, "{} bytes", answer.bytes.len());
    assert_eq!(relay.effects(), []);
}

#[test]
fn an_allocation_comes_from_the_stock_and_is_signed() {
    let mut relay = Script::new();
    let answer = relay.try_allocate(ALICE, vec![]).expect_success();
    assert!(answer.is_signed());
    assert_eq!(answer.relayed(), v4([198, 51, 100, 1], 50_000));
    assert_eq!(answer.mapped(), ALICE.address);
    assert_eq!(answer.lifetime_s(), 600);
    assert_eq!(relay.effects(), [Effect::PortTaken(PortId(0))]);
}

#[test]
fn a_lifetime_is_at_least_the_default_and_at_most_the_limit() {
    for (asked, granted) in [(0, 600), (1, 600), (601, 601), (3600, 3600), (u32::MAX, 3600)] {
        let mut relay = Script::new();
        let answer = relay.try_allocate(ALICE, vec![LifeTime::from(asked).into()]);
        assert_eq!(answer.expect_success().lifetime_s(), granted);
        if asked > 0 {
            let answer = relay.try_refresh(ALICE, asked).expect_success();
            assert_eq!(answer.lifetime_s(), granted);
        }
    }
}

#[test]
fn an_allocation_ends_with_its_lifetime() {
    let mut relay = Script::new().allocate(ALICE).permit(ALICE, BOB);
    let port = relay.port_of(ALICE);
    relay.at(299.s()).try_permit(ALICE, &[BOB]).expect_success();
    relay.effects();
    assert_eq!(relay.server.poll_timeout().unwrap().since_start(), 600.s());
    relay.at(598.s()).from_peer(BOB, ALICE, b"hi").expect_data_indication(ALICE, BOB, b"hi");
    relay.at(600.s());
    relay.server.handle_timeout(relay.now());
    assert_eq!(relay.effects(), [Effect::ClosePort(port)]);
    assert_eq!(relay.server.poll_timeout(), None);
    relay.from_peer(BOB, ALICE, b"hi").expect_drop(Reason::NoAllocation);
    relay.try_refresh(ALICE, 600).expect_error(437);
}

#[test]
fn an_allocation_ends_on_time_even_if_the_timeout_is_late() {
    let mut relay = Script::new().allocate(ALICE).permit(ALICE, BOB);
    relay.at(299.s()).try_permit(ALICE, &[BOB]).expect_success();
    relay.at(598.s()).try_permit(ALICE, &[BOB]).expect_success();
    relay.at(600.s()).send(ALICE, BOB, b"hi").expect_drop(Reason::NoAllocation);
}

#[test]
fn a_refresh_prolongs_an_allocation() {
    let mut relay = Script::new().allocate(ALICE);
    relay.at(599.s()).try_refresh(ALICE, 600).expect_success();
    relay.at(1198.s()).try_permit(ALICE, &[BOB]).expect_success();
    relay.at(1199.s()).try_permit(ALICE, &[BOB]).expect_error(437);
}

#[test]
fn a_refresh_can_shorten_a_lifetime() {
    let mut relay = Script::new();
    let hour = vec![LifeTime::from(3600).into()];
    relay.try_allocate(ALICE, hour).expect_success();
    relay.at(10.s()).try_refresh(ALICE, 600).expect_success();
    assert_eq!(relay.server.poll_timeout().unwrap().since_start(), 610.s());
    relay.at(609.s()).try_permit(ALICE, &[BOB]).expect_success();
    relay.at(610.s()).try_permit(ALICE, &[BOB]).expect_error(437);
}

#[test]
fn a_refresh_with_lifetime_zero_ends_an_allocation_at_once() {
    let mut relay = Script::new().allocate(ALICE).bind(ALICE, 0x4000, BOB);
    relay.effects();
    assert_eq!(relay.try_refresh(ALICE, 0).expect_success().lifetime_s(), 0);
    assert_eq!(relay.effects(), [Effect::ClosePort(relay.port_of(ALICE))]);
    relay.channel_data(ALICE, 0x4000, b"hi").expect_drop(Reason::NoAllocation);
    relay.from_peer(BOB, ALICE, b"hi").expect_drop(Reason::NoAllocation);
    relay.try_refresh(ALICE, 0).expect_error(437);
    relay.try_allocate(ALICE, vec![]).expect_success();
}

#[test]
fn a_retransmitted_allocate_gets_the_same_answer() {
    let mut relay = Script::new();
    let request = relay.signed(ALICE, ALLOCATE, vec![RequestedTrasport::new(UDP).into()]);
    let first = relay.from_client(ALICE, &request);
    let second = relay.at(3.s()).from_client(ALICE, &request);
    first.clone().expect_answer(ALICE).expect_success();
    assert_eq!(first, second);
    assert_eq!(relay.effects().len(), 1);
}

#[test]
fn the_answer_of_one_user_is_not_repeated_to_another() {
    let mut relay = Script::new();
    let transport = [(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0][..])];
    let request = relay.signed_raw(ALICE, Method::Allocate, &transport);
    relay.from_client(ALICE, &request).expect_answer(ALICE).expect_success();
    relay.repeat_last_transaction();
    let request = relay.signed_raw(CAROL_AT_ALICE, Method::Allocate, &transport);
    relay.from_client(ALICE, &request).expect_answer(CAROL_AT_ALICE).expect_error(437);
}

#[test]
fn a_second_allocate_gets_437() {
    let mut relay = Script::new().allocate(ALICE);
    assert!(relay.try_allocate(ALICE, vec![]).expect_error(437).is_signed());
}

#[test]
fn only_udp_is_relayed() {
    let mut relay = Script::new();
    let transport = attribute::REQUESTED_TRANSPORT;
    relay.ask_raw(ALICE, Method::Allocate, &[(transport, &[6, 0, 0, 0])]).expect_error(442);
    relay.ask_raw(ALICE, Method::Allocate, &[(transport, &[17])]).expect_error(400);
    relay.ask_raw(ALICE, Method::Allocate, &[]).expect_error(400);
}

#[test]
fn a_client_gets_the_family_it_asks_for() {
    let mut relay = Script::new();
    let ipv6 = || vec![RequestedAddressFamily::new(AddressFamily::IPv6).into()];
    assert!(relay.try_allocate(ALICE, ipv6()).expect_success().relayed().is_ipv6());
    assert!(relay.try_allocate(DAVE_V6, vec![]).expect_success().relayed().is_ipv4());
    relay.ask(ALICE, REFRESH, ipv6()).expect_success();
    let ipv4 = vec![RequestedAddressFamily::new(AddressFamily::IPv4).into()];
    relay.ask(ALICE, REFRESH, ipv4).expect_error(443);
}

#[test]
fn a_relay_without_the_family_says_so() {
    let ports = relay_core::RelayedPorts::new([RELAY_IP_V6]);
    let mut relay = Script::worker(config(), 0, ports.into());
    let ipv4 = vec![RequestedAddressFamily::new(AddressFamily::IPv4).into()];
    relay.try_allocate(ALICE, ipv4).expect_error(440);
    assert!(relay.try_allocate(ALICE, vec![]).expect_success().relayed().is_ipv6());
}

#[test]
fn a_client_gets_a_port_on_the_address_it_came_by() {
    let mut relay = Script::with(|config| {
        let local = v4([198, 51, 100, 2], 3478);
        config.listeners.push(listener(local, relay_core::Transport::Udp));
    });
    let second = Client { listener: relay_core::ListenerId(2), ..CAROL };
    let port = relay.open_port([198, 51, 100, 2].into());
    relay.try_allocate(second, vec![]).expect_success();
    assert_eq!(relay.port_of(second), port);
    let third = Client { address: EVE, ..second };
    relay.try_allocate(third, vec![]).expect_error(508);
}

#[test]
fn an_even_port_is_found() {
    let mut relay = Script::new().allocate(ALICE);
    let relayed = relay.try_allocate(CAROL, vec![EvenPort::new(false).into()]).relayed();
    assert_eq!(relayed.port() % 2, 0);
}

#[test]
fn an_empty_stock_is_508() {
    let mut relay = Script::new();
    for port in 1..=4 {
        let client = Client { address: v4([1, 1, 1, 1], port), ..ALICE };
        relay.try_allocate(client, vec![]).expect_success();
    }
    relay.try_allocate(CAROL, vec![]).expect_error(508);
    relay.open_port(RELAY_IP);
    relay.try_allocate(CAROL, vec![]).expect_success();
}

#[test]
fn a_user_has_as_many_allocations_as_it_may() {
    let mut relay = Script::with(|config| config.allocations_per_user_max = 1).allocate(ALICE);
    let again = Client { address: EVE, ..ALICE };
    relay.try_allocate(again, vec![]).expect_error(486);
    relay.try_allocate(CAROL, vec![]).expect_success();
    relay.try_refresh(ALICE, 0).expect_success();
    relay.try_allocate(again, vec![]).expect_success();
}

#[test]
fn a_relay_has_as_many_allocations_as_it_may() {
    let mut relay = Script::with(|config| config.allocations_max = 1).allocate(ALICE);
    relay.try_allocate(CAROL, vec![]).expect_error(508);
}

#[test]
fn requests_on_no_allocation_get_437() {
    let mut relay = Script::new();
    relay.try_refresh(ALICE, 600).expect_error(437);
    relay.try_permit(ALICE, &[BOB]).expect_error(437);
    relay.try_bind(ALICE, 0x4000, BOB).expect_error(437);
}

#[test]
fn another_user_on_an_allocation_gets_441() {
    let mut relay = Script::new().allocate(ALICE);
    assert!(relay.try_refresh(CAROL_AT_ALICE, 0).expect_error(441).is_signed());
    relay.try_permit(CAROL_AT_ALICE, &[BOB]).expect_error(441);
    relay.try_bind(CAROL_AT_ALICE, 0x4000, BOB).expect_error(441);
    relay.try_refresh(ALICE, 600).expect_success();
}

#[test]
fn allocations_that_ended_leave_nothing_behind() {
    let mut relay = Script::with(|config| config.unauthenticated_rate = 0);
    let mut come_and_go = |ports: std::ops::Range<u16>| {
        for port in ports {
            let client = Client { address: v4([1, 1, 1, 1], port), ..ALICE };
            relay.try_allocate(client, vec![]).expect_success();
            relay.try_bind(client, 0x4000, BOB).expect_success();
            relay.try_refresh(client, 0).expect_success();
            let relayed = relay.relayed(client);
            relay.server.handle_port_open(relay.port_of(client), relayed, relayed);
            assert_eq!(relay.effects().len(), 2);
        }
        assert_eq!(relay.server.counters().allocations_live(), 0);
        relay.state()
    };
    // Up to then old deadlines may pile up.
    let before = come_and_go(1..200);
    assert!(come_and_go(200..1200).len() < before.len() + 64 * 64);
}

#[test]
fn a_user_name_alone_is_400() {
    let mut relay = Script::new();
    let builder = relay
        .begin(ALLOCATE, MessageClass::Request)
        .with_attribute(UserName::new("alice").unwrap())
        .with_attribute(stun_rs::attributes::stun::MessageIntegrity::new(key(ALICE)));
    let answer = relay.from_client(ALICE, &encode(&builder.build()));
    assert!(!answer.expect_answer(ALICE).expect_error(400).is_signed());
}
