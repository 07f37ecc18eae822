//! NAT behaviour discovery: what a client with a NAT before it can ask for. RFC 5780.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use relay_core::wire::{Class, Message, Method, TransactionId, Writer, attribute};
use relay_core::{At, Listener, ListenerId, Reason, Transport};
use script::*;
use std::net::SocketAddr;
use stun_rs::attributes::discovery::{OtherAddress, ResponseOrigin};
use stun_rs::attributes::stun::MappedAddress;
use stun_rs::{MessageDecoderBuilder, StunMessage};

const A1P1: SocketAddr = LISTENER;
const A1P2: SocketAddr = v4([198, 51, 100, 1], 3479);
const A2P1: SocketAddr = v4([198, 51, 100, 2], 3478);
const A2P2: SocketAddr = v4([198, 51, 100, 2], 3479);
const ALL: [SocketAddr; 4] = [A1P1, A1P2, A2P1, A2P2];

/// Two IP addresses with two ports each, the listeners 0 to 3.
fn relay() -> Script {
    Script::with(|config| {
        config.listeners = ALL.map(|local| listener(local, Transport::Udp)).into();
        config.listeners.push(listener(A1P1, Transport::Tcp));
    })
}

fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut buffer = [0; 4000];
    let id = TransactionId([7; 12]);
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::Binding, id);
    for (kind, value) in attributes {
        writer.attribute(*kind, value);
    }
    writer.finish().to_vec()
}

fn ask(relay: &mut Script, listener: u16, attributes: &[(u16, &[u8])]) -> Outcome {
    relay.datagram(At::Listener(ListenerId(listener)), ALICE.address, &request(attributes))
}

/// The listener and the address that the answer goes by and to, and the answer.
#[track_caller]
fn sent(outcome: Outcome) -> (u16, SocketAddr, Vec<u8>) {
    match outcome {
        Outcome::Send { via: At::Listener(via), to, bytes } => (via.0, to, bytes),
        other @ (Outcome::Send { .. }
        | Outcome::Handover { .. }
        | Outcome::Forward(_)
        | Outcome::Done
        | Outcome::Drop(_)) => panic!("{other:?}"),
    }
}

fn decode(bytes: &[u8]) -> StunMessage {
    let (message, length) = MessageDecoderBuilder::default().build().decode(bytes).unwrap();
    assert_eq!(length, bytes.len());
    message
}

fn origin(message: &StunMessage) -> SocketAddr {
    *message.get::<ResponseOrigin>().unwrap().expect_response_origin().socket_address()
}

fn other(message: &StunMessage) -> SocketAddr {
    *message.get::<OtherAddress>().unwrap().expect_other_address().socket_address()
}

#[test]
fn every_answer_says_where_it_comes_from_and_what_else_there_is() {
    for (listener, [own, opposite]) in
        (0..).zip([[A1P1, A2P2], [A1P2, A2P1], [A2P1, A1P2], [A2P2, A1P1]])
    {
        let (via, to, bytes) = sent(ask(&mut relay(), listener, &[]));
        assert_eq!((via, to), (listener, ALICE.address));
        let answer = decode(&bytes);
        assert_eq!((origin(&answer), other(&answer)), (own, opposite));
        let mapped = answer.get::<MappedAddress>().unwrap().expect_mapped_address();
        assert_eq!(*mapped.socket_address(), ALICE.address);
        // What one that forges its source can make of 20 bytes.
        assert_eq!(bytes.len(), 68);
    }
}

#[test]
fn a_client_chooses_by_which_address_it_is_answered() {
    // RFC 5780 §6.1, table 1.
    let table = [
        (0, 0x00, A1P1),
        (0, 0x02, A1P2),
        (0, 0x04, A2P1),
        (0, 0x06, A2P2),
        (3, 0x02, A2P1),
        (3, 0x04, A1P2),
        (3, 0x06, A1P1),
    ];
    for (listener, flags, from) in table {
        let change = (attribute::CHANGE_REQUEST, &[0, 0, 0, flags][..]);
        let (via, to, bytes) = sent(ask(&mut relay(), listener, &[change]));
        assert_eq!((ALL[usize::from(via)], to), (from, ALICE.address));
        let answer = decode(&bytes);
        assert_eq!(origin(&answer), from);
        let (_, _, plain) = sent(ask(&mut relay(), listener, &[]));
        assert_eq!(other(&answer), other(&decode(&plain)));
    }
}

#[test]
fn a_client_chooses_at_which_of_its_ports_it_is_answered() {
    let mut relay = relay();
    for value in [&[0x12, 0x34][..], &[0x12, 0x34, 0, 0]] {
        let (via, to, bytes) = sent(ask(&mut relay, 0, &[(attribute::RESPONSE_PORT, value)]));
        assert_eq!((via, to), (0, SocketAddr::new(ALICE.address.ip(), 0x1234)));
        decode(&bytes);
    }
    let nowhere = (attribute::RESPONSE_PORT, &[0, 0][..]);
    ask(&mut relay, 0, &[nowhere]).expect_drop(Reason::BadSource);
}

#[test]
fn padding_comes_back_but_no_more_than_was_sent() {
    let mut relay = relay();
    for (sent_bytes, got_bytes) in [(0, 0), (3, 0), (100, 100), (1500, 1500), (3000, 1500)] {
        let padding = vec![0; sent_bytes];
        let (_, _, bytes) = sent(ask(&mut relay, 0, &[(attribute::PADDING, &padding)]));
        assert_eq!(bytes.len(), 68 + 4 + got_bytes);
        let answer = Message::parse(&bytes).unwrap();
        let found = answer.attributes().find(|(kind, _)| *kind == attribute::PADDING).unwrap();
        assert_eq!(found.1.len(), got_bytes);
    }
}

#[test]
fn what_contradicts_or_is_malformed_is_400() {
    let mut relay = relay();
    let change = |value: &'static [u8]| (attribute::CHANGE_REQUEST, value);
    let port = |value: &'static [u8]| (attribute::RESPONSE_PORT, value);
    for attributes in [
        &[change(&[0, 0, 0])][..],
        &[change(&[1, 0, 0, 6])],
        &[port(&[1])],
        &[port(&[1, 1]), (attribute::PADDING, &[0; 8])],
    ] {
        let (via, to, bytes) = sent(ask(&mut relay, 0, attributes));
        assert_eq!((via, to), (0, ALICE.address));
        let code = decode(&bytes);
        let code = code.get::<stun_rs::attributes::stun::ErrorCode>().unwrap();
        assert_eq!(code.expect_error_code().error_code().error_code(), 400);
    }
}

#[test]
fn without_two_addresses_with_two_ports_it_is_420() {
    let one_missing = Script::with(|config| {
        config.listeners = [A1P1, A1P2, A2P2].map(|local| listener(local, Transport::Udp)).into();
    });
    for (mut relay, listener) in [(Script::new(), 0), (one_missing, 0), (relay(), 4)] {
        for kind in [attribute::CHANGE_REQUEST, attribute::RESPONSE_PORT, attribute::PADDING] {
            let client = Client { listener: ListenerId(listener), ..ALICE };
            let answer = relay.from_client(client, &request(&[(kind, &[0, 0, 0, 6])]));
            assert_eq!(answer.expect_answer(client).expect_error(420).unknown(), [kind]);
        }
        let (_, _, bytes) = sent(ask(&mut relay, listener, &[]));
        assert!(decode(&bytes).get::<OtherAddress>().is_none());
        assert_eq!(bytes.len(), 32);
    }
}

#[test]
fn behind_a_nat_the_advertised_addresses_are_told() {
    let public = |local: SocketAddr| match local {
        SocketAddr::V4(v4_) => v4([203, 0, 113, v4_.ip().octets()[3]], v4_.port()),
        SocketAddr::V6(_) => panic!("no IPv6 here"),
    };
    let mut relay = Script::with(|config| {
        let transport = Transport::Udp;
        let listeners = ALL.map(|local| Listener { local, advertised: public(local), transport });
        config.listeners = listeners.into();
    });
    let answer = decode(&sent(ask(&mut relay, 0, &[])).2);
    assert_eq!((origin(&answer), other(&answer)), (public(A1P1), public(A2P2)));
}

#[test]
fn answers_by_other_addresses_are_limited_too() {
    let mut relay = Script::with(|config| {
        config.listeners = ALL.map(|local| listener(local, Transport::Udp)).into();
        config.unauthenticated_burst = 3;
    });
    let change = (attribute::CHANGE_REQUEST, &[0, 0, 0, 6][..]);
    for _ in 0..3 {
        sent(ask(&mut relay, 0, &[change]));
    }
    ask(&mut relay, 0, &[change]).expect_drop(Reason::RateLimited);
}
