//! A million requests of nobody: they leave no memory behind, and hurt nobody who is somebody.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use relay_core::wire::{Class, Method, TransactionId, Writer, attribute};
use relay_core::{At, ListenerId};
use script::*;
use std::net::SocketAddr;
use std::time::Duration;

const REQUESTS: u32 = 1_000_000;

/// The most by which resident memory may grow: what the system's allocator does on its own.
const GROWTH_KIB_MAX: u64 = 512;

/// Resident memory of this process. The only test of this file, so that nothing else moves it.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn request(method: Method, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut buffer = [0; 400];
    let id = TransactionId([5; 12]);
    let mut writer = Writer::new(&mut buffer, Class::Request, method, id);
    for (kind, value) in attributes {
        writer.attribute(*kind, value);
    }
    writer.finish().to_vec()
}

/// What somebody without a password can ask: nothing signed, wrongly signed, under a made-up nonce.
fn requests() -> Vec<Vec<u8>> {
    let signed = [
        (attribute::USERNAME, &b"2000000000:room:peer:1"[..]),
        (attribute::REALM, REALM.as_bytes()),
        (attribute::NONCE, &b"obMatJos2gAAAAAAAAAAAAAA"[..]),
        (attribute::MESSAGE_INTEGRITY, &[7; 20]),
    ];
    vec![
        request(Method::Binding, &[]),
        request(Method::Allocate, &[(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])]),
        request(Method::Refresh, &[]),
        request(Method::Allocate, &signed),
    ]
}

/// A source for each request: IPv4 and IPv6, forged.
fn source(number: u32) -> (ListenerId, SocketAddr) {
    let [a, b, c, d] = number.wrapping_mul(2_654_435_761).to_be_bytes();
    if number.is_multiple_of(4) {
        let ip = [0x2a00, a.into(), b.into(), c.into(), d.into(), 0, 0, 1];
        return (ListenerId(1), SocketAddr::new(ip.into(), 4000));
    }
    (ListenerId(0), v4([20 + a % 100, b, c, d], 4000))
}

#[test]
fn a_million_requests_from_many_sources_leave_memory_flat_and_an_allocation_relaying() {
    let mut relay = Script::new().allocate(ALICE).bind(ALICE, 0x4000, BOB);
    let relayed = relay.relayed(ALICE);
    let requests = requests();
    let mut flood = |numbers: std::ops::Range<u32>| {
        let mut answers = 0;
        for number in numbers {
            // 20,000 a second, for 50 seconds.
            relay.at(Duration::from_micros(50 * u64::from(number)));
            let (listener, source) = source(number);
            let request = &requests[number as usize / 2 % requests.len()];
            let outcome = relay.datagram(At::Listener(listener), source, request);
            answers += u32::from(matches!(outcome, Outcome::Send { .. }));
            if number.is_multiple_of(1000) {
                relay.channel_data(ALICE, 0x4000, b"hi").expect_to_peer(relayed, BOB, b"hi");
                relay.from_peer(BOB, ALICE, b"ho").expect_channel_data(ALICE, 0x4000, b"ho");
            }
        }
        answers
    };
    let warm = flood(0..20_000);
    let before = resident_kib();
    let answers = warm + flood(20_000..REQUESTS);
    let after = resident_kib();
    println!("{REQUESTS} requests, {answers} answers; resident {before} KiB, then {after} KiB");
    assert!(after <= before + GROWTH_KIB_MAX, "{before} KiB grew to {after} KiB");
    assert_eq!(relay.server.counters().allocations_live(), 1);
    assert!(answers > REQUESTS / 2, "most were served: {answers}");
}
