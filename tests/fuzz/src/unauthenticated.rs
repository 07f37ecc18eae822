//! A whole server and clients without a password: they get small answers and leave nothing.

use crate::input::Input;
use crate::world::{Outcome, World, answer_class};
use relay_core::wire::{Class, HEADER_BYTES, MAGIC_COOKIE, Message, Method};
use relay_core::{At, ListenerId};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The most bytes that somebody without a password is answered with, beside the bytes asked with.
const ANSWER_BYTES_MAX: usize = 160;

/// Sends datagrams of the fuzzer's choice from many sources, well-formed ones among them.
///
/// # Panics
/// If something but a small answer comes back, or anything is left behind.
pub fn unauthenticated(bytes: &[u8]) {
    // No relay ports: nobody gets so far, and the table of them takes long to look through.
    let mut world = World::new(0, |_| {});
    let before = state(&world);
    let mut input = Input::new(bytes);
    while !input.is_empty() {
        world.elapsed += Duration::from_millis(input.byte().into());
        let from = source(&mut input);
        let datagram = datagram(&mut input);
        let listener = At::Listener(ListenerId(from.is_ipv6().into()));
        let outcome = world.datagram(listener, from, &datagram);
        check(&world, from, &datagram, outcome);
    }
    world.check_sums();
    assert_eq!(world.server.counters().allocations_begun, 0);
    assert_eq!(world.effects(), []);
    assert_eq!(world.server.poll_timeout(), None);
    assert_eq!(state(&world), before, "something is left behind");
}

fn check(world: &World, from: SocketAddr, datagram: &[u8], outcome: Outcome) {
    let (via, to, bytes) = match outcome {
        Outcome::Send { via, to, bytes } => (via, to, bytes),
        Outcome::Nothing => return,
        Outcome::Handover { to } => panic!("data of nobody went to {to}"),
    };
    assert!(matches!(via, At::Listener(_)), "{via:?}");
    assert_eq!(to, from, "an answer goes to the source");
    assert!(bytes.len() <= ANSWER_BYTES_MAX, "{} bytes", bytes.len());
    if answer_class(datagram, &bytes) == Class::Success {
        let method = Message::parse(datagram).expect("read before").method_number();
        assert_eq!(method, Method::Binding.number(), "{:?}", world.server.counters());
    }
}

fn source(input: &mut Input<'_>) -> SocketAddr {
    match input.byte() % 8 {
        0 => SocketAddr::new(Ipv4Addr::from(input.array()).into(), input.word()),
        1 => SocketAddr::new(Ipv6Addr::from(input.array()).into(), input.word()),
        few => SocketAddr::new([20, 0, 0, few].into(), 1000 + u16::from(few)),
    }
}

/// Any bytes, but mostly with a header that fits.
fn datagram(input: &mut Input<'_>) -> Vec<u8> {
    let (kind, length) = (input.byte(), usize::from(input.byte()) * 2);
    let methods = [0x0001, 0x0003, 0x0004, 0x0008, 0x0009, 0x0016, 0x0017, 0x0101];
    let message_type: u16 = match kind % 10 {
        8 => input.word() & 0x3fff,
        9 => return input.bytes(length).to_vec(),
        known => methods[usize::from(known)],
    };
    let transaction: [u8; 12] = input.array();
    let mut body = input.bytes(length).to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend(message_type.to_be_bytes());
    bytes.extend(u16::try_from(body.len()).expect("it is short").to_be_bytes());
    bytes.extend(MAGIC_COOKIE.to_be_bytes());
    bytes.extend(transaction);
    bytes.extend(body);
    bytes
}

/// All that the server holds, but for the digits of its times and counts.
fn state(world: &World) -> String {
    format!("{:?}", world.server).replace(|character: char| character.is_ascii_digit(), "")
}
