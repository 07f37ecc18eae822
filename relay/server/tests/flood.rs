//! A flood of nobody's requests on real sockets, from many addresses of loopback.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod client;

use client::{Client, Incoming, config, peer, receive_from, start};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

const SOURCES: u32 = 2_000;
const REQUESTS_EACH: u32 = 50;
const CHANNEL: u16 = 0x4000;

/// The most by which resident memory may grow: what the system's allocator does on its own.
const GROWTH_KIB_MAX: u64 = 1024;

/// An Allocate without credentials.
const ALLOCATE: [u8; 28] = [
    0, 3, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 0, 0x19, 0, 4, 17, 0,
    0, 0,
];

/// Resident memory of this process. The only test of this file, so that nothing else moves it.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_flood_from_many_addresses_leaves_memory_flat_and_an_allocation_relaying() {
    let relay = start(config());
    let target = relay.listeners()[0].bound;
    let (mut alice, bob) = (Client::new(&relay), peer("127.0.0.1:0"));
    let relayed = alice.allocate();
    alice.bind(CHANNEL, bob.local_addr().unwrap()).unwrap();
    let mut answers = 0;
    let mut flood = |sources: std::ops::Range<u32>| {
        for number in sources {
            let ip = Ipv4Addr::from_bits(0x7f01_0000 + number);
            let socket = UdpSocket::bind(SocketAddr::from((ip, 0))).unwrap();
            for _ in 0..REQUESTS_EACH {
                socket.send_to(&ALLOCATE, target).unwrap();
            }
            socket.set_nonblocking(true).unwrap();
            answers += u64::from(socket.recv(&mut [0; 500]).is_ok());
            if number.is_multiple_of(100) {
                alice.send(CHANNEL, b"hi");
                assert_eq!(receive_from(&bob), (b"hi".to_vec(), relayed));
                bob.send_to(b"ho", relayed).unwrap();
                assert_eq!(alice.receive(), Incoming::Channel(CHANNEL, b"ho".to_vec()));
            }
        }
    };
    flood(0..SOURCES / 10);
    let before = resident_kib();
    flood(SOURCES / 10..SOURCES);
    let after = resident_kib();
    let requests = SOURCES * REQUESTS_EACH;
    println!("{requests} requests, {SOURCES} sources; resident {before} KiB, then {after} KiB");
    assert!(after <= before + GROWTH_KIB_MAX, "{before} KiB grew to {after} KiB");
    assert!(answers > 0, "the flood was answered");
    relay.shutdown().unwrap();
}
