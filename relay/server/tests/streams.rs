//! Clients that come by TCP and TLS, and what they must keep to.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod client;

use client::{Client, Incoming, config, connect, counter, peer, receive_from, start, wait_until};
use relay_server::relay_core::{Revoke, Transport};
use relay_server::rustls::crypto::aws_lc_rs;
use relay_server::rustls::pki_types::{PrivateKeyDer, ServerName};
use relay_server::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
};
use relay_server::{HttpsShare, Relay, RelayConfig, StreamConfig};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const CHANNEL: u16 = 0x4000;

/// Any port of loopback, over UDP and TCP.
fn tcp_config() -> RelayConfig {
    let tcp = vec!["127.0.0.1:0".parse().unwrap()];
    RelayConfig { streams: StreamConfig { tcp, ..StreamConfig::default() }, ..config() }
}

fn stream_address(relay: &Relay) -> SocketAddr {
    let mut all = relay.listeners().iter();
    all.find(|one| one.transport != Transport::Udp).unwrap().bound
}

/// A certificate for `localhost`, and a client's settings that trust it and nothing else.
struct Trust {
    server: Arc<ServerConfig>,
    roots: RootCertStore,
}

impl Trust {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Self { server: Arc::new(server), roots }
    }

    fn connect(
        &self,
        address: SocketAddr,
        alpn: &[&[u8]],
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(connection, connect(address))
    }
}

fn tls_config(trust: &Trust, https: Option<HttpsShare>) -> RelayConfig {
    let tls = vec!["127.0.0.1:0".parse().unwrap()];
    let server = Some(trust.server.clone());
    RelayConfig { streams: StreamConfig { tls, server, https, ..Default::default() }, ..config() }
}

/// Waits for the relay to close a connection.
fn wait_for_end(stream: &mut TcpStream) {
    let mut bytes = [0; 1024];
    // A reset is an end too.
    while stream.read(&mut bytes).is_ok_and(|read| read > 0) {}
}

fn exchange(relay: &Relay, mut alice: Client) {
    let bob = peer("127.0.0.1:0");
    let relayed = alice.allocate();
    let bob_address = bob.local_addr().unwrap();
    alice.permit(bob_address).unwrap();
    alice.send_indication(bob_address, b"indication");
    assert_eq!(receive_from(&bob), (b"indication".to_vec(), relayed));
    bob.send_to(b"to you", relayed).unwrap();
    assert_eq!(alice.receive(), Incoming::Indication(bob_address, b"to you".to_vec()));
    alice.bind(CHANNEL, bob_address).unwrap();
    for length in [0, 1, 2, 3, 4, 5, 100, 1_200, 9_000, 60_000] {
        let data: Vec<_> = (0..length).map(|place: u32| place as u8).collect();
        alice.send(CHANNEL, &data);
        assert_eq!(receive_from(&bob), (data.clone(), relayed));
        bob.send_to(&data, relayed).unwrap();
        assert_eq!(alice.receive(), Incoming::Channel(CHANNEL, data));
    }
    for number in 0..1_000_u32 {
        alice.send(CHANNEL, &number.to_be_bytes());
        assert_eq!(receive_from(&bob), (number.to_be_bytes().to_vec(), relayed));
    }
    drop(alice);
    wait_until("its allocation ends with it", || counter(relay, "relay_allocations", None) == 0);
    wait_until("the connection is gone", || counter(relay, "relay_stream_connections", None) == 0);
}

#[test]
fn a_tcp_client_exchanges_data_of_any_length() {
    let relay = start(tcp_config());
    exchange(&relay, Client::tcp(stream_address(&relay)));
}

#[test]
fn a_tls_client_exchanges_data_of_any_length() {
    let trust = Trust::new();
    let relay = start(tls_config(&trust, None));
    let address = stream_address(&relay);
    for alpn in [&[][..], &[&b"stun.turn"[..]]] {
        exchange(&relay, Client::over(trust.connect(address, alpn), address));
    }
}

#[test]
fn a_tcp_client_on_ipv6_relays_on_ipv6() {
    let mut config = tcp_config();
    config.listen = Vec::new();
    config.streams.tcp = vec!["[::1]:0".parse().unwrap()];
    let relay = start(config);
    let (mut alice, bob) = (Client::tcp(stream_address(&relay)), peer("[::1]:0"));
    let relayed = alice.allocate();
    alice.bind(CHANNEL, bob.local_addr().unwrap()).unwrap();
    alice.send(CHANNEL, b"six");
    assert_eq!(receive_from(&bob), (b"six".to_vec(), relayed));
    bob.send_to(b"sechs", relayed).unwrap();
    assert_eq!(alice.receive(), Incoming::Channel(CHANNEL, b"sechs".to_vec()));
}

#[test]
fn what_is_revoked_ends_at_every_worker_and_on_every_transport() {
    let relay = start(RelayConfig { workers: 4, ..tcp_config() });
    let mut clients: Vec<_> = (0..16)
        .map(|number| match number % 2 {
            0 => Client::tcp(stream_address(&relay)),
            _ => Client::new(&relay),
        })
        .collect();
    for client in &mut clients {
        client.allocate();
    }
    let live = || counter(&relay, "relay_allocations", None);
    wait_until("all are counted", || live() == 16);
    assert!(relay.revoke(&Revoke::User("nobody".to_owned())));
    clients[0].refresh(600).unwrap();
    assert_eq!(live(), 16);
    assert!(relay.revoke(&Revoke::User("alice".to_owned())));
    wait_until("all are gone", || live() == 0);
    for client in &mut clients {
        assert!(client.refresh(600).is_err());
    }
}

#[test]
fn a_burst_over_a_stream_arrives_whole_and_in_order() {
    let relay = start(tcp_config());
    let (mut alice, bob) = (Client::tcp(stream_address(&relay)), peer("127.0.0.1:0"));
    let relayed = alice.allocate();
    alice.bind(CHANNEL, bob.local_addr().unwrap()).unwrap();
    for number in 0..200_u8 {
        alice.send(CHANNEL, &vec![number; usize::from(number)]);
    }
    for number in 0..200_u8 {
        assert_eq!(receive_from(&bob), (vec![number; usize::from(number)], relayed));
    }
}

#[test]
fn stream_and_datagram_clients_reach_each_other() {
    let relay = start(tcp_config());
    let mut clients: Vec<_> = (0..8)
        .map(|number| match number % 2 {
            0 => Client::tcp(stream_address(&relay)),
            _ => Client::new(&relay),
        })
        .collect();
    let relayed: Vec<SocketAddr> = clients.iter_mut().map(Client::allocate).collect();
    for (own, client) in clients.iter_mut().enumerate() {
        for (number, other) in (CHANNEL..).zip(&relayed) {
            if *other != relayed[own] {
                client.bind(number, *other).unwrap();
            }
        }
    }
    for from in 0..clients.len() {
        for to in (0..clients.len()).filter(|to| *to != from) {
            let data = [from as u8, to as u8];
            clients[from].send(CHANNEL + to as u16, &data);
            let got = clients[to].receive();
            assert_eq!(got, Incoming::Channel(CHANNEL + from as u16, data.to_vec()));
        }
    }
}

#[test]
fn bytes_one_at_a_time_are_put_together() {
    let relay = start(tcp_config());
    let mut stream = connect(stream_address(&relay));
    let binding = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[7; 12]].concat();
    for byte in binding.iter().chain(&binding) {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut answers = [0; 64];
    stream.read_exact(&mut answers).unwrap();
    for answer in answers.chunks(32) {
        assert_eq!((&answer[..2], &answer[8..20]), (&[1, 1][..], &[7; 12][..]));
    }
}

#[test]
fn what_is_no_stun_is_closed_at_once() {
    let relay = start(tcp_config());
    for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"\xff\xff\xff\xff", &[0; 8]] {
        let mut stream = connect(stream_address(&relay));
        stream.write_all(garbage).unwrap();
        wait_for_end(&mut stream);
    }
    wait_until("they are counted", || {
        counter(&relay, "relay_stream_ended", Some("malformed")) == 3
    });
}

#[test]
fn a_message_cut_by_the_end_of_its_connection_does_nothing() {
    let relay = start(tcp_config());
    let address = stream_address(&relay);
    let (mut alice, bob) = (Client::tcp(address), peer("127.0.0.1:0"));
    alice.allocate();
    alice.bind(CHANNEL, bob.local_addr().unwrap()).unwrap();
    alice.send_bytes(&[0x40, 0, 0, 8, 1, 2, 3, 4]);
    drop(alice);
    wait_until("its allocation ends", || counter(&relay, "relay_allocations", None) == 0);
    bob.set_nonblocking(true).unwrap();
    assert!(bob.recv_from(&mut [0; 100]).is_err());
    exchange(&relay, Client::tcp(address));
}

#[test]
fn whoever_says_nothing_or_stops_in_the_middle_is_closed() {
    let mut config = tcp_config();
    config.streams.limits.first_message_timeout = Duration::from_millis(100);
    config.streams.limits.half_message_timeout = Duration::from_millis(100);
    let relay = start(config);
    let ended = |reason| counter(&relay, "relay_stream_ended", Some(reason));
    wait_for_end(&mut connect(stream_address(&relay)));
    wait_until("silence is counted", || ended("silent") == 1);

    let mut alice = connect(stream_address(&relay));
    let binding = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[7; 12]].concat();
    alice.write_all(&binding).unwrap();
    alice.write_all(&binding[..9]).unwrap();
    wait_for_end(&mut alice);
    wait_until("half a message is counted", || ended("halting") == 1);
}

#[test]
fn whoever_makes_no_allocation_in_time_is_closed_and_others_are_not() {
    let mut config = tcp_config();
    config.streams.limits.unallocated_timeout = Duration::from_millis(300);
    let relay = start(config);
    let mut alice = Client::tcp(stream_address(&relay));
    alice.allocate();
    let mut mallory = Client::tcp(stream_address(&relay));
    mallory.binding();
    let unallocated = || counter(&relay, "relay_stream_ended", Some("unallocated"));
    wait_until("the one is closed", || unallocated() == 1);
    alice.refresh(600).unwrap();
    alice.refresh(0).unwrap();
    wait_until("without an allocation the other is too", || unallocated() == 2);
}

#[test]
fn half_open_connections_are_limited_and_an_allocation_makes_room() {
    let mut config = tcp_config();
    config.streams.limits.half_open_per_source_max = 2;
    let relay = start(config);
    let address = stream_address(&relay);
    let (mut alice, _silent) = (Client::tcp(address), connect(address));
    alice.binding();
    wait_until("both are in", || counter(&relay, "relay_stream_accepted", None) == 2);
    wait_for_end(&mut connect(address));
    assert_eq!(counter(&relay, "relay_stream_refused", Some("source")), 1);
    alice.allocate();
    wait_until("there is room again", || {
        let mut stream = connect(address);
        let binding = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[7; 12]].concat();
        let _ = stream.write_all(&binding);
        stream.read(&mut [0; 100]).is_ok_and(|read| read > 0)
    });
}

#[test]
fn a_slow_reader_gets_fresh_data_and_its_answers() {
    let mut config = tcp_config();
    config.streams.limits.data_bytes_max = 64 << 10;
    let relay = start(config);
    let (mut alice, bob) = (Client::tcp(stream_address(&relay)), peer("127.0.0.1:0"));
    let relayed = alice.allocate();
    alice.bind(CHANNEL, bob.local_addr().unwrap()).unwrap();
    let dropped = || counter(&relay, "relay_stream_data_dropped", None);
    // Alice doesn't read: what the kernel holds fills up first.
    let mut number = 0_u32;
    wait_until("old data is dropped", || {
        for _ in 0..200 {
            let mut data = vec![0; 1_000];
            data[..4].copy_from_slice(&number.to_be_bytes());
            bob.send_to(&data, relayed).unwrap();
            number += 1;
        }
        dropped() > 500
    });
    alice.refresh(600).unwrap();
    // What is sent last comes, though much before it doesn't.
    let relayed_packets = || counter(&relay, "relay_packets", Some("peer_to_client"));
    let before = relayed_packets();
    bob.send_to(b"the last", relayed).unwrap();
    wait_until("it is relayed", || relayed_packets() > before);
    let mut last = None;
    loop {
        let Incoming::Channel(_, data) = alice.receive() else { panic!("only channel data") };
        if data == b"the last" {
            break;
        }
        let number = u32::from_be_bytes(*data.first_chunk().unwrap());
        assert!(last < Some(number), "{number} after {last:?}");
        last = Some(number);
    }
}

#[test]
fn whoever_takes_nothing_or_is_not_heard_of_is_closed() {
    let mut config = tcp_config();
    config.streams.limits.stall_timeout = Duration::from_millis(200);
    let relay = start(config);
    let (mut alice, bob) = (Client::tcp(stream_address(&relay)), peer("127.0.0.1:0"));
    let relayed = alice.allocate();
    alice.bind(CHANNEL, bob.local_addr().unwrap()).unwrap();
    wait_until("her side is full for too long", || {
        for _ in 0..100 {
            bob.send_to(&[0; 1_000], relayed).unwrap();
        }
        counter(&relay, "relay_stream_ended", Some("stalled")) == 1
    });

    let mut config = tcp_config();
    config.streams.limits.idle_timeout = Duration::from_millis(200);
    let relay = start(config);
    let mut alice = Client::tcp(stream_address(&relay));
    alice.allocate();
    wait_until("she is given up", || counter(&relay, "relay_stream_ended", Some("idle")) == 1);
    wait_until("her allocation too", || counter(&relay, "relay_allocations", None) == 0);
}

#[test]
fn whoever_asks_on_and_on_without_reading_is_closed() {
    let relay = start(tcp_config());
    let mut stream = connect(stream_address(&relay));
    let binding = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[7; 12]].concat().repeat(500);
    wait_until("it is closed", || {
        let _ = stream.write(&binding);
        counter(&relay, "relay_stream_ended", Some("overrun")) == 1
    });
}

#[test]
fn a_handshake_that_fails_or_does_not_come_is_closed() {
    let trust = Trust::new();
    let mut config = tls_config(&trust, None);
    config.streams.limits.handshake_timeout = Duration::from_millis(200);
    let relay = start(config);
    let address = stream_address(&relay);
    wait_for_end(&mut connect(address));
    let mut plain = connect(address);
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    wait_for_end(&mut plain);
    let mut other = trust.connect(address, &[b"http/1.1"]);
    assert!(other.write_all(b"GET / HTTP/1.1\r\n\r\n").is_err(), "it isn't HTTPS");
    wait_until("all are counted", || counter(&relay, "relay_stream_handshake_failures", None) == 3);
}

#[test]
fn turn_and_https_share_a_port() {
    let trust = Trust::new();
    let (sender, https) = mpsc::sync_channel(8);
    let take = Arc::new(move |stream| sender.send(stream).unwrap());
    let addresses = vec!["127.0.0.1:0".parse().unwrap()];
    let relay = start(tls_config(&trust, Some(HttpsShare { addresses, take })));
    let address = stream_address(&relay);
    for alpn in [&[][..], &[&b"stun.turn"[..]]] {
        exchange(&relay, Client::over(trust.connect(address, alpn), address));
    }
    for alpn in [&[][..], &[&b"h2"[..], b"http/1.1"]] {
        let mut browser = trust.connect(address, alpn);
        browser.write_all(b"GET /").unwrap();
        let taken = https.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(taken.peer, browser.sock.local_addr().unwrap());
        assert_eq!(taken.local, address);
    }
}

#[test]
fn a_tls_listener_needs_a_certificate() {
    let trust = Trust::new();
    let mut config = tls_config(&trust, None);
    config.streams.server = None;
    let refused = Relay::start(config, heliograph_base::Clock::start()).map(|_| ());
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("--turn-tls") && text.contains("--tls-cert"), "{text}");
}
