//! NAT behaviour discovery on real sockets: answers leave by the address that the client chose.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod client;

use client::{config, peer, receive_from, start};
use relay_server::{Relay, RelayConfig};
use std::net::SocketAddr;

/// A relay on 127.0.0.1 and 127.0.0.2 with two ports each, and these four.
fn relay() -> (Relay, Vec<SocketAddr>) {
    // Ports that were free a moment ago.
    let ports = [peer("127.0.0.1:0"), peer("127.0.0.1:0")];
    let ports = ports.map(|socket| socket.local_addr().unwrap().port());
    let ips = [[127, 0, 0, 1], [127, 0, 0, 2]];
    let all = ips.map(|ip| ports.map(|port| SocketAddr::from((ip, port))));
    let listen = all.concat();
    (start(RelayConfig { listen: listen.clone(), ..config() }), listen)
}

#[test]
fn a_client_is_answered_by_the_address_it_chose() {
    let (_relay, listen) = relay();
    let client = peer("127.0.0.1:0");
    let [a1p1, a1p2, a2p1, a2p2] = listen[..] else { panic!("{listen:?}") };
    for (flags, from) in [(0, a1p1), (2, a1p2), (4, a2p1), (6, a2p2)] {
        let mut request = vec![0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42];
        request.extend([7; 12]);
        request.extend([0, 3, 0, 4, 0, 0, 0, flags]);
        client.send_to(&request, a1p1).unwrap();
        let (answer, source) = receive_from(&client);
        assert_eq!((source, &answer[..2]), (from, &[1, 1][..]));
    }
}
