//! Pairs of relayed transport addresses for RTP and RTCP: EVEN-PORT with the R bit, and
//! RESERVATION-TOKEN. RFC 8656 §7.2.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use relay_core::wire::{Method, attribute};
use relay_core::{Config, Effect, PortId, RelayedPorts, ReservationToken};
use script::*;
use std::net::IpAddr;
use std::sync::Arc;
use stun_rs::attributes::turn::{
    EvenPort, RequestedAddressFamily, ReservationToken as TokenAttribute,
};
use stun_rs::{AddressFamily, StunAttribute};

const UDP: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
const WITH_NEXT: (u16, &[u8]) = (attribute::EVEN_PORT, &[0x80]);
/// Alice's second socket.
const ALICE_RTCP: Client = Client::of([1, 1, 1, 1], 1112, "alice");

/// A worker with `stock` ports on `ip`, of which two are a pair.
fn worker(number: u8, ports: &Arc<RelayedPorts>, config: Config, ip: IpAddr, stock: u32) -> Script {
    let mut relay = Script::without_stock(config, number, Arc::clone(ports));
    for _ in 0..stock {
        relay.open_port(ip);
    }
    relay
}

/// One worker with six ports: three pairs.
fn relay() -> Script {
    worker(0, &ports(), config(), RELAY_IP, 6)
}

fn with_next() -> Vec<StunAttribute> {
    vec![EvenPort::new(true).into()]
}

fn token(token: ReservationToken) -> Vec<StunAttribute> {
    vec![TokenAttribute::from(token.0).into()]
}

fn token_in(answer: &Answer) -> Option<ReservationToken> {
    let token = answer.message.get::<TokenAttribute>()?.expect_reservation_token();
    Some(ReservationToken(token.as_ref().try_into().unwrap()))
}

/// `client` gets a pair, and the token for the second address.
fn reserve(relay: &mut Script, client: Client) -> ReservationToken {
    token_in(&relay.try_allocate(client, with_next()).expect_success()).expect("a token")
}

#[test]
fn a_pair_is_an_even_port_and_a_token_for_the_next() {
    let mut relay = relay();
    let kept = reserve(&mut relay, ALICE);
    let even = relay.relayed(ALICE);
    assert_eq!(even.port() % 2, 0);
    let (port, next) = (relay.port_of(ALICE), PortId(relay.port_of(ALICE).0 + 1));
    assert_eq!(
        relay.effects(),
        [Effect::PortReserved { port: next, token: kept }, Effect::PortTaken(port)]
    );

    // The shell puts the socket of the second address behind a port of the stock.
    let answer = relay.try_allocate(ALICE_RTCP, token(kept)).expect_success();
    assert_eq!((answer.relayed().ip(), answer.relayed().port()), (even.ip(), even.port() + 1));
    assert_eq!(token_in(&answer), None);
    let [Effect::PortAdopted { port, token }, Effect::PortTaken(taken)] = relay.effects()[..]
    else {
        panic!("adopted, then taken")
    };
    assert_eq!((port, token), (taken, kept));
    assert!(![relay.port_of(ALICE), next].contains(&taken));

    relay.try_permit(ALICE_RTCP, &[BOB]).expect_success();
    let sent = relay.send(ALICE_RTCP, BOB, b"rtcp");
    let via = relay_core::At::Port(taken);
    assert_eq!(sent, Outcome::Send { via, to: BOB, bytes: b"rtcp".to_vec() });
    relay.datagram(via, BOB, b"back").expect_data_indication(ALICE_RTCP, BOB, b"back");
    relay.try_refresh(ALICE_RTCP, 0).expect_success();
    assert_eq!(relay.effects(), [Effect::ClosePort(taken)]);
}

#[test]
fn a_token_is_good_at_every_worker() {
    let ports = ports();
    let mut one = worker(0, &ports, config(), RELAY_IP, 2);
    let mut other = worker(1, &ports, config(), RELAY_IP, 1);
    let kept = reserve(&mut one, ALICE);
    let even = one.relayed(ALICE);
    let rtcp = other.try_allocate(ALICE_RTCP, token(kept)).expect_success().relayed();
    assert_eq!((rtcp.ip(), rtcp.port()), (even.ip(), even.port() + 1));
    assert_eq!(ports.owner(rtcp), Some(relay_core::WorkerId(1)));
    assert_eq!(
        other.effects(),
        [Effect::PortAdopted { port: PortId(1000), token: kept }, Effect::PortTaken(PortId(1000))]
    );
    // The worker that kept it has nothing left to end.
    one.effects();
    one.at(30.s());
    one.server.handle_timeout(one.now());
    assert_eq!(one.effects(), []);
    // Data between the two crosses inside, by the address that the client was told.
    one.try_permit(ALICE, &[rtcp]).expect_success();
    let handed = one.send(ALICE, rtcp, b"hi");
    assert!(matches!(handed, Outcome::Handover { to, .. } if to == rtcp), "{handed:?}");
}

/// "The server MUST hold this reservation for at least 30 seconds".
#[test]
fn a_reservation_is_kept_for_30_seconds_and_then_ends() {
    let ports = ports();
    let mut one = worker(0, &ports, config(), RELAY_IP, 6);
    let mut other = worker(1, &ports, config(), RELAY_IP, 1);
    let (first, second) = (reserve(&mut one, ALICE), reserve(&mut one, CAROL));
    one.effects();
    one.at(29.s());
    one.server.handle_timeout(one.now());
    assert_eq!(one.effects(), []);
    other.at(29.s()).try_allocate(ALICE_RTCP, token(first)).expect_success();

    assert_eq!(one.server.poll_timeout(), Some(one.at(30.s()).now().time));
    // Though its worker is late to end it.
    other.at(30.s()).try_allocate(CAROL, token(second)).expect_error(508);
    one.server.handle_timeout(one.now());
    assert_eq!(one.effects(), [Effect::ReservationEnded(second)]);
    one.try_allocate(ALICE_RTCP, token(second)).expect_error(508);
}

/// "If the token is not valid for some reason, the server rejects the request with a 508".
#[test]
fn a_token_is_good_once_and_for_its_user_only() {
    let mut relay = relay();
    let kept = reserve(&mut relay, ALICE);
    relay.effects();
    let mut wrong = kept;
    wrong.0[7] ^= 1;
    relay.try_allocate(ALICE_RTCP, token(wrong)).expect_error(508);
    relay.try_allocate(CAROL, token(kept)).expect_error(508);
    assert_eq!(relay.effects(), []);
    relay.try_allocate(ALICE_RTCP, token(kept)).expect_success();
    let third = Client { address: EVE, ..ALICE };
    relay.try_allocate(third, token(kept)).expect_error(508);
}

#[test]
fn tokens_are_never_alike() {
    let ports = ports();
    let mut one = worker(0, &ports, config(), RELAY_IP, 6);
    let mut other = worker(1, &ports, config(), RELAY_IP, 6);
    let tokens = [
        reserve(&mut one, ALICE),
        reserve(&mut one, CAROL),
        reserve(&mut other, ALICE),
        reserve(&mut other, CAROL),
    ];
    for (place, token) in tokens.iter().enumerate() {
        assert!(!tokens[..place].contains(token));
    }
}

#[test]
fn a_retransmitted_allocate_gets_the_same_token() {
    let mut relay = relay();
    let request = relay.signed_raw(ALICE, Method::Allocate, &[UDP, WITH_NEXT]);
    let first = relay.from_client(ALICE, &request);
    assert_eq!(first, relay.from_client(ALICE, &request));
    let kept = token_in(&first.expect_answer(ALICE).expect_success()).unwrap();
    let bring = (attribute::RESERVATION_TOKEN, &kept.0[..]);
    let request = relay.signed_raw(ALICE_RTCP, Method::Allocate, &[UDP, bring]);
    let first = relay.from_client(ALICE_RTCP, &request);
    assert_eq!(first, relay.from_client(ALICE_RTCP, &request));
    first.expect_answer(ALICE_RTCP).expect_success();
}

#[test]
fn a_pair_is_of_the_family_that_is_asked_for() {
    let ipv6 = || RequestedAddressFamily::new(AddressFamily::IPv6).into();
    let mut relay = worker(0, &ports(), config(), RELAY_IP_V6, 3);
    relay.try_allocate(ALICE, with_next()).expect_error(508);
    let both = vec![EvenPort::new(true).into(), ipv6()];
    let answer = relay.try_allocate(ALICE, both).expect_success();
    assert_eq!(answer.relayed().ip(), RELAY_IP_V6);
    let kept = token_in(&answer).unwrap();
    // "it also contains an EVEN-PORT or REQUESTED-ADDRESS-FAMILY": 400. It stays good.
    relay.try_allocate(ALICE_RTCP, [token(kept), vec![ipv6()]].concat()).expect_error(400);
    relay.try_allocate(ALICE_RTCP, [token(kept), with_next()].concat()).expect_error(400);
    let rtcp = relay.try_allocate(ALICE_RTCP, token(kept)).expect_success().relayed();
    assert_eq!((rtcp.ip(), rtcp.port()), (RELAY_IP_V6, answer.relayed().port() + 1));
}

#[test]
fn malformed_attributes_are_400() {
    let mut relay = relay();
    let short = (attribute::RESERVATION_TOKEN, &[1; 7][..]);
    relay.ask_raw(ALICE, Method::Allocate, &[UDP, short]).expect_error(400);
    let long = (attribute::EVEN_PORT, &[0x80, 0][..]);
    relay.ask_raw(ALICE, Method::Allocate, &[UDP, long]).expect_error(400);
}

/// "If the server cannot satisfy the request, the server rejects the request with a 508".
#[test]
fn where_no_two_ports_are_side_by_side_a_pair_is_508() {
    let mut relay = Script::new();
    relay.try_allocate(ALICE, with_next()).expect_error(508);
    // An odd port and the next are none.
    let mut relay = Script::without_stock(config(), 0, ports());
    for ip in [RELAY_IP_V6, RELAY_IP, RELAY_IP] {
        relay.open_port(ip);
    }
    relay.try_allocate(ALICE, with_next()).expect_error(508);
    relay.open_port(RELAY_IP);
    relay.try_allocate(ALICE, with_next()).expect_success();
}

#[test]
fn who_wants_no_pair_leaves_them_alone() {
    let mut relay = worker(0, &ports(), config(), RELAY_IP, 5);
    relay.try_allocate(ALICE, vec![]).expect_success();
    assert_eq!(relay.port_of(ALICE), PortId(4));
    reserve(&mut relay, CAROL);
}

/// A stock that is filled up with pairs must not grow by what is left of them.
#[test]
fn an_even_port_leaves_no_odd_one_behind() {
    let mut relay = worker(0, &ports(), config(), RELAY_IP, 4);
    relay.try_allocate(ALICE, vec![EvenPort::new(false).into()]).expect_success();
    let even = relay.port_of(ALICE);
    let odd = PortId(even.0 + 1);
    assert_eq!(relay.effects(), [Effect::ClosePort(odd), Effect::PortTaken(even)]);
    relay.try_allocate(CAROL, vec![]).expect_success();
    assert_ne!(relay.port_of(CAROL), odd);
}

#[test]
fn reservations_are_as_many_as_may_be() {
    let few = |max, of_holder| Config {
        reservations_max: max,
        reservations_per_holder_max: of_holder,
        ..config()
    };
    for config in [few(1, 9), few(9, 1)] {
        let mut relay = worker(0, &ports(), config, RELAY_IP, 6);
        let kept = reserve(&mut relay, ALICE);
        relay.effects();
        relay.try_allocate(ALICE_RTCP, with_next()).expect_error(508);
        assert_eq!(relay.effects(), []);
        relay.try_allocate(ALICE_RTCP, token(kept)).expect_success();
        let third = Client { address: EVE, ..ALICE };
        // What was refused went back into the stock.
        reserve(&mut relay, third);
    }
}

#[test]
fn a_user_over_its_quota_keeps_its_token() {
    let config = Config { allocations_per_user_max: 1, ..config() };
    let mut relay = worker(0, &ports(), config, RELAY_IP, 4);
    let kept = reserve(&mut relay, ALICE);
    relay.try_allocate(ALICE_RTCP, token(kept)).expect_error(486);
    relay.try_refresh(ALICE, 0).expect_success();
    relay.try_allocate(ALICE_RTCP, token(kept)).expect_success();
}

#[test]
fn reservations_that_ended_leave_nothing_behind() {
    let config = Config { unauthenticated_rate: 0, reservations_max: 4, ..config() };
    let mut relay = worker(0, &ports(), config, RELAY_IP, 3);
    let mut come_and_go = |count: u16| {
        for _ in 0..count {
            let kept = reserve(&mut relay, ALICE);
            let rtcp = relay.try_allocate(ALICE_RTCP, token(kept)).expect_success().relayed();
            let even = relay.relayed(ALICE);
            relay.try_refresh(ALICE, 0).expect_success();
            relay.try_refresh(ALICE_RTCP, 0).expect_success();
            for (port, address) in [(port_at(even), even), (port_at(rtcp), rtcp)] {
                relay.server.handle_port_open(port, address, address);
            }
            relay.open_port(RELAY_IP_V6);
            relay.effects();
        }
        relay.state().len()
    };
    let before = come_and_go(100);
    assert!(come_and_go(200) < before + 64 * 64);
}
