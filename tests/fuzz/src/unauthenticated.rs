//! A whole server and clients without a password: they get small answers and leave nothing.

use crate::input::Input;
use crate::read::{addresses, answer_class, error_number, find, read};
use crate::world::{Outcome, World, address, listener};
use relay_core::wire::{Class, HEADER_BYTES, MAGIC_COOKIE, Message, Method, attribute};
use relay_core::{At, ListenerId, Transport};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Two addresses with two ports each, so that clients find out how their NAT behaves (RFC 5780);
/// and one that stands alone.
const LISTENERS: [&str; 5] = [
    "198.51.100.1:3478",
    "198.51.100.1:3479",
    "198.51.100.2:3478",
    "198.51.100.2:3479",
    "[2001:db8::1]:3478",
];

/// The most bytes that somebody without a password is answered with, beside the bytes asked with.
const ANSWER_BYTES_MAX: usize = 160;

/// The most of the PADDING asked with that is answered with. RFC 5780 §7.6.
const PADDING_BYTES_MAX: usize = 1500;

/// Answers a second to one source, and at once.
const RATE: (u32, u32) = (10, 40);

/// Sends datagrams of the fuzzer's choice from many sources, well-formed ones among them.
///
/// # Panics
/// If something but a small answer comes back, or anything is left behind.
pub fn unauthenticated(bytes: &[u8]) {
    // No relay ports: nobody gets so far, and the table of them takes long to look through.
    let mut world = World::new(1, 0, |config| {
        config.listeners = LISTENERS.map(|local| listener(local, Transport::Udp)).into();
        (config.unauthenticated_rate, config.unauthenticated_burst) = RATE;
    });
    let before = state(&world);
    let mut input = Input::new(bytes);
    let mut answers = HashMap::new();
    while !input.is_empty() {
        world.wait(Duration::from_millis(input.byte().into()));
        let from = source(&mut input);
        let (bits, datagram) = datagram(&mut input);
        let listener = if from.is_ipv6() { 4 } else { bits % 4 };
        let passage = world.client_sends(0, (listener.into(), from), &datagram);
        assert_eq!((passage.forwarded, passage.handed_over), (None, None));
        if let Outcome::Send { via, to, bytes } = passage.outcome {
            check((listener.into(), from), &datagram, (via, to, &bytes));
            *answers.entry(from.ip()).or_insert(0) += 1;
        }
    }
    for (source, count) in answers {
        check_rate(&world, source, count);
    }
    world.check_sums();
    assert_eq!(world.counters().allocations_begun, 0);
    assert!(world.events().is_empty());
    assert_eq!(world.servers[0].poll_timeout(), None);
    assert_eq!(state(&world), before, "something is left behind");
}

/// Looks at what came of a datagram that came to the listener `at` from `from`.
fn check((at, from): (usize, SocketAddr), datagram: &[u8], sent: (At, SocketAddr, &[u8])) {
    let (via, to, bytes) = sent;
    let request = read(datagram);
    let way = Way::of(at, from, &request);
    let is_success = answer_class(datagram, bytes) == Class::Success;
    let answer = read(bytes);
    assert_eq!(to.ip(), from.ip(), "an answer goes to the source");
    assert!(to.port() != 0 && LISTENERS.iter().all(|local| address(local) != to), "{to}");
    if !is_success {
        assert!((via, to) == (At::Listener(ListenerId(at as u16)), from), "errors go back");
        assert!(bytes.len() <= ANSWER_BYTES_MAX, "{} bytes", bytes.len());
        let is_unknown = error_number(&answer) == 420;
        assert!(at != 4 || is_unknown || !asks_for_discovery(&request), "not at this listener");
        return;
    }
    assert_eq!(request.method_number(), Method::Binding.number(), "only Binding is for all");
    let way = way.expect("a wrong attribute is refused");
    assert_eq!((via, to), (At::Listener(ListenerId(way.via as u16)), way.to));
    assert!(bytes.len() <= ANSWER_BYTES_MAX + way.padding, "{} bytes", bytes.len());
    assert!(addresses(&answer, attribute::XOR_MAPPED_ADDRESS).eq([from]));
    let told = |kind| find(&answer, kind).map(plain_address);
    let origin = (at < 4).then(|| address(LISTENERS[way.via]));
    assert_eq!(told(attribute::RESPONSE_ORIGIN), origin);
    assert_eq!(told(attribute::OTHER_ADDRESS), (at < 4).then(|| address(LISTENERS[at ^ 3])));
    let padding = find(&answer, attribute::PADDING).map_or(0, <[u8]>::len);
    assert_eq!(padding, way.padding, "no more PADDING than came");
}

/// How the answer to a Binding should go.
#[derive(Debug)]
struct Way {
    via: usize,
    to: SocketAddr,
    padding: usize,
}

impl Way {
    /// Nothing if the request contradicts itself, or asks where nobody can answer.
    fn of(at: usize, from: SocketAddr, request: &Message<'_>) -> Option<Self> {
        let mut way = Self { via: at, to: from, padding: 0 };
        if at == 4 {
            return (!asks_for_discovery(request)).then_some(way);
        }
        if let Some(change) = find(request, attribute::CHANGE_REQUEST) {
            let [0, 0, 0, flags] = change else { return None };
            // The IP address is the second bit of a listener's number, the port the first.
            way.via = at ^ usize::from(flags >> 1 & 3);
        }
        let padding = find(request, attribute::PADDING);
        if let Some(port) = find(request, attribute::RESPONSE_PORT) {
            let ([high, low] | [high, low, _, _]) = port else { return None };
            way.to.set_port(u16::from_be_bytes([*high, *low]));
            return padding.is_none().then_some(way);
        }
        way.padding = padding.map_or(0, |padding| padding.len().min(PADDING_BYTES_MAX) / 4 * 4);
        Some(way)
    }
}

fn asks_for_discovery(request: &Message<'_>) -> bool {
    let kinds = [attribute::CHANGE_REQUEST, attribute::RESPONSE_PORT, attribute::PADDING];
    request.method_number() == Method::Binding.number()
        && kinds.iter().any(|kind| find(request, *kind).is_some())
}

/// MAPPED-ADDRESS and its like, IPv4 only. RFC 8489 §14.1.
fn plain_address(value: &[u8]) -> SocketAddr {
    let &[0, 1, high, low, a, b, c, d] = value else {
        panic!("{value:?} is no IPv4 address");
    };
    SocketAddr::new([a, b, c, d].into(), u16::from_be_bytes([high, low]))
}

/// Nobody gets more answers than the rate allows, whatever the source says.
fn check_rate(world: &World, source: IpAddr, count: u32) {
    let (rate, burst) = RATE;
    let seconds = u32::try_from(world.elapsed.as_secs()).expect("it is short") + 1;
    assert!(count <= burst + rate * seconds, "{count} answers to {source} in {seconds} s");
}

fn source(input: &mut Input<'_>) -> SocketAddr {
    match input.byte() % 8 {
        0 => SocketAddr::new(Ipv4Addr::from(input.array()).into(), input.word()),
        1 => SocketAddr::new(Ipv6Addr::from(input.array()).into(), input.word()),
        few => SocketAddr::new([20, 0, 0, few].into(), 1000 + u16::from(few)),
    }
}

/// Any bytes, but mostly with a header that fits; and bits for another choice.
fn datagram(input: &mut Input<'_>) -> (u8, Vec<u8>) {
    let (kind, length) = (input.byte(), usize::from(input.byte()) * 2);
    let methods = [0x0001, 0x0003, 0x0004, 0x0008, 0x0009, 0x0016, 0x0017, 0x0101];
    let bits = kind >> 4;
    let message_type: u16 = match kind % 16 {
        8 => input.word() & 0x3fff,
        9 => return (bits, input.bytes(length).to_vec()),
        10.. => 0x0001,
        known => methods[usize::from(known)],
    };
    let transaction: [u8; 12] = input.array();
    let mut body = Vec::new();
    if kind % 16 >= 10 {
        discovery(input, length, &mut body);
    } else {
        body.extend(input.bytes(length));
    }
    body.resize(body.len().next_multiple_of(4), 0);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend(message_type.to_be_bytes());
    bytes.extend(u16::try_from(body.len()).expect("it is short").to_be_bytes());
    bytes.extend(MAGIC_COOKIE.to_be_bytes());
    bytes.extend(transaction);
    bytes.extend(body);
    (bits, bytes)
}

/// Attributes of RFC 5780: up to three, mostly of the right length. PADDING may be long.
fn discovery(input: &mut Input<'_>, padding: usize, body: &mut Vec<u8>) {
    for _ in 0..=input.byte() % 3 {
        let choice = input.byte();
        let zeros = vec![0; padding * usize::from(choice >> 4)];
        let (kind, value): (_, &[u8]) = match choice % 6 {
            0 | 1 => (attribute::CHANGE_REQUEST, &[0, 0, 0, input.byte()]),
            2 => (attribute::RESPONSE_PORT, &input.word().to_be_bytes()),
            3 => (attribute::RESPONSE_PORT, &input.array::<4>()),
            4 => (attribute::PADDING, &zeros),
            _ => (input.word(), input.bytes(usize::from(choice >> 4))),
        };
        body.extend(kind.to_be_bytes());
        body.extend(u16::try_from(value.len()).expect("it is short").to_be_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
}

/// All that the server holds, but for the digits of its times and counts.
fn state(world: &World) -> String {
    let server = format!("{:?}", world.servers[0]);
    server.replace(|character: char| character.is_ascii_digit(), "")
}
