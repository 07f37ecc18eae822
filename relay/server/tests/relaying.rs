//! Clients and peers exchange data through a relay that runs, on real sockets.

mod client;

use client::{Client, Incoming, config, counter, peer, receive_from, start, wait_until};
use relay_server::RelayConfig;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

const CHANNEL: u16 = 0x4000;

#[test]
fn a_client_and_a_peer_exchange_a_thousand_packets_without_loss() {
    let relay = start(config());
    let (mut alice, bob) = (Client::new(&relay), peer("127.0.0.1:0"));
    let relayed = alice.allocate();
    alice.bind(CHANNEL, bob.local_addr().unwrap()).unwrap();
    for number in 0..1_000_u32 {
        let data = number.to_be_bytes();
        alice.send(CHANNEL, &data);
        assert_eq!(receive_from(&bob), (data.to_vec(), relayed));
        bob.send_to(&data, relayed).unwrap();
        assert_eq!(alice.receive(), Incoming::Channel(CHANNEL, data.to_vec()));
    }
    let packets = |path| counter(&relay, "relay_packets", Some(path));
    wait_until("the counters are there", || packets("peer_to_client") == 1_000);
    assert_eq!(packets("client_to_peer"), 1_000);
    relay.shutdown().unwrap();
}

#[test]
fn a_burst_arrives_whole_and_in_order() {
    let relay = start(config());
    let (mut alice, bob) = (Client::new(&relay), peer("127.0.0.1:0"));
    let relayed = alice.allocate();
    alice.bind(CHANNEL, bob.local_addr().unwrap()).unwrap();
    let burst: Vec<_> = (0..100_u8).map(|number| vec![number; usize::from(number)]).collect();
    for data in &burst {
        alice.send(CHANNEL, data);
    }
    for data in &burst {
        assert_eq!(receive_from(&bob), (data.clone(), relayed));
    }
    for data in &burst {
        bob.send_to(data, relayed).unwrap();
    }
    for data in &burst {
        assert_eq!(alice.receive(), Incoming::Channel(CHANNEL, data.clone()));
    }
}

#[test]
fn indications_carry_data_where_no_channel_is_bound() {
    let relay = start(config());
    let (mut alice, bob) = (Client::new(&relay), peer("127.0.0.1:0"));
    let (relayed, bob_address) = (alice.allocate(), bob.local_addr().unwrap());
    alice.permit(bob_address).unwrap();
    alice.send_indication(bob_address, b"hello");
    assert_eq!(receive_from(&bob), (b"hello".to_vec(), relayed));
    bob.send_to(b"hi", relayed).unwrap();
    assert_eq!(alice.receive(), Incoming::Indication(bob_address, b"hi".to_vec()));
}

#[test]
fn the_longest_datagram_passes_whole() {
    let relay = start(config());
    let (mut alice, bob) = (Client::new(&relay), peer("127.0.0.1:0"));
    let relayed = alice.allocate();
    alice.bind(CHANNEL, bob.local_addr().unwrap()).unwrap();
    let data: Vec<_> = (0..65_503_u32).map(|place| place as u8).collect();
    alice.send(CHANNEL, &data);
    assert_eq!(receive_from(&bob), (data.clone(), relayed));
    bob.send_to(&data, relayed).unwrap();
    assert_eq!(alice.receive(), Incoming::Channel(CHANNEL, data));
}

#[test]
fn an_ipv6_listener_relays_on_ipv6() {
    let listen = vec!["[::1]:0".parse().unwrap()];
    let relay = start(RelayConfig { listen, ..config() });
    let (mut alice, bob) = (Client::new(&relay), peer("[::1]:0"));
    let relayed = alice.allocate();
    assert_eq!(relayed.ip(), relay.listeners()[0].bound.ip());
    alice.bind(CHANNEL, bob.local_addr().unwrap()).unwrap();
    alice.send(CHANNEL, b"six");
    assert_eq!(receive_from(&bob), (b"six".to_vec(), relayed));
    bob.send_to(b"sechs", relayed).unwrap();
    assert_eq!(alice.receive(), Incoming::Channel(CHANNEL, b"sechs".to_vec()));
}

/// The kernel chooses the worker of a client: of sixteen clients of four workers, all have the same
/// worker once in 4^15 runs. No peer address is allowed here: allocations of the relay reach each
/// other all the same.
#[test]
fn allocations_of_all_workers_reach_each_other() {
    let mut config = RelayConfig { workers: 4, ..config() };
    config.core.policy.allow.clear();
    let relay = start(config);
    let mut clients: Vec<_> = (0..16).map(|_| Client::new(&relay)).collect();
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
    let packets = |path| counter(&relay, "relay_packets", Some(path));
    wait_until("the counters are there", || packets("relay_to_relay") == 16 * 15);
    assert!(packets("handed_over") > 0, "no two clients on different workers");
    assert_eq!(counter(&relay, "relay_handover_full", None), 0);
}

#[test]
fn bytes_that_mean_nothing_get_no_answer_and_hurt_nobody() {
    let relay = start(config());
    let mut alice = Client::new(&relay);
    alice.allocate();
    let mut noise = 0x9E37_79B9_u32;
    for len in 0..300 {
        let bytes: Vec<_> = (0..len)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            })
            .collect();
        alice.send_bytes(&bytes);
    }
    // The next datagram that comes is the answer to this.
    alice.refresh(600).unwrap();
    wait_until("all are counted", || counter(&relay, "relay_drops", None) == 300);
}

#[test]
fn a_peer_that_cannot_be_reached_does_not_hurt_the_allocation() {
    let mut config = config();
    config.core.policy.allow.push("8.8.8.8/32".parse().unwrap());
    let relay = start(config);
    let (mut alice, bob) = (Client::new(&relay), peer("127.0.0.1:0"));
    let relayed = alice.allocate();
    let nobody = peer("127.0.0.1:0").local_addr().unwrap();
    let [refuses, has_no_route, is_there] = [CHANNEL, CHANNEL + 1, CHANNEL + 2];
    alice.bind(refuses, nobody).unwrap();
    // From a loopback address there is no way to it.
    alice.bind(has_no_route, "8.8.8.8:4000".parse().unwrap()).unwrap();
    alice.bind(is_there, bob.local_addr().unwrap()).unwrap();
    for number in 0..100_u8 {
        alice.send(refuses, b"lost");
        alice.send(has_no_route, b"lost");
        alice.send(is_there, &[number]);
        assert_eq!(receive_from(&bob), (vec![number], relayed));
        bob.send_to(&[number], relayed).unwrap();
        assert_eq!(alice.receive(), Incoming::Channel(is_there, vec![number]));
    }
    alice.refresh(600).unwrap();
    let failures = |label| counter(&relay, "relay_send_failures", label);
    wait_until("failures are counted", || failures(Some("bad_address")) == 100);
    wait_until("ICMP is counted", || counter(&relay, "relay_icmp_errors", None) > 0);
    assert_eq!(failures(None), 100);
}

#[test]
fn a_client_is_told_that_nobody_listens_at_its_peer() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let mut config = config();
        config.listen = vec![listen.parse().unwrap()];
        config.core.icmp_to_all = true;
        let relay = start(config);
        let mut alice = Client::new(&relay);
        alice.allocate();
        let nobody = peer(listen).local_addr().unwrap();
        alice.permit(nobody).unwrap();
        alice.send_indication(nobody, b"lost");
        let (kind, code) = if nobody.is_ipv4() { (3, 3) } else { (1, 4) };
        assert_eq!(alice.receive(), Incoming::Icmp(nobody, kind, code));
    }
}

#[test]
fn one_loud_client_does_not_silence_the_others() {
    let relay = start(RelayConfig { workers: 1, ..config() });
    let (mut loud, mut quiet) = (Client::new(&relay), Client::new(&relay));
    let (sink, bob) = (peer("127.0.0.1:0"), peer("127.0.0.1:0"));
    loud.allocate();
    loud.bind(CHANNEL, sink.local_addr().unwrap()).unwrap();
    let relayed = quiet.allocate();
    quiet.bind(CHANNEL, bob.local_addr().unwrap()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20_000 {
                loud.send(CHANNEL, &[0; 160]);
            }
        });
        for number in 0..50_u8 {
            thread::sleep(Duration::from_millis(2));
            quiet.send(CHANNEL, &[number]);
            assert_eq!(receive_from(&bob), (vec![number], relayed));
        }
    });
}

#[test]
fn allocations_made_at_once_all_get_a_port_though_few_are_in_stock() {
    let mut config = RelayConfig { workers: 1, ..config() };
    config.limits.stock_ports = 2;
    let relay = start(config);
    let mut clients: Vec<_> = (0..64).map(|_| Client::new(&relay)).collect();
    for client in &mut clients {
        assert_eq!(client.refresh(600), Err(437)); // for the nonce
    }
    let all_are_ready = Barrier::new(clients.len());
    let mut relayed: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (clients.iter_mut())
            .map(|client| {
                scope.spawn(|| {
                    all_are_ready.wait();
                    client.allocate()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    relayed.sort();
    relayed.dedup();
    assert_eq!(relayed.len(), 64);
}

#[test]
fn even_ports_asked_for_alone_do_not_make_the_stock_grow() {
    let relay = start(RelayConfig { workers: 1, ..config() });
    for _ in 0..200 {
        let mut client = Client::new(&relay);
        assert_eq!(client.allocate_even().unwrap().port() % 2, 0);
        client.refresh(0).unwrap();
    }
    let live = || counter(&relay, "relay_allocations", None);
    wait_until("no allocation lives", || live() == 0);
    wait_until("the stock is as it was", || counter(&relay, "relay_open_ports", None) <= 36);
}

/// As many at once as no stock has: it is filled between them.
#[test]
fn pairs_are_made_when_the_stock_has_none_left() {
    let mut config = RelayConfig { workers: 1, ..config() };
    (config.limits.stock_ports, config.limits.stock_pairs) = (4, 1);
    let relay = start(config);
    let mut clients: Vec<_> = (0..16).map(|_| Client::new(&relay)).collect();
    let mut pairs: Vec<_> =
        clients.iter_mut().map(|one| one.allocate_pair().expect("a pair")).collect();
    pairs.sort_unstable();
    pairs.dedup();
    assert_eq!(pairs.len(), 16);
}
