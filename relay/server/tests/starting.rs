//! How a relay starts and ends, and what it says when it can't.

mod client;

use client::{Client, config, counter, start, wait_until};
use heliograph_base::Clock;
use relay_server::{Relay, RelayConfig, StartError};
use std::net::{IpAddr, SocketAddr, UdpSocket};

fn refusal(config: RelayConfig) -> String {
    Relay::start(config, Clock::start()).map(|_| ()).expect_err("it can't start").to_string()
}

fn listening(address: &str) -> RelayConfig {
    RelayConfig { listen: vec![address.parse().expect("an address")], ..config() }
}

#[test]
fn an_ended_relay_answers_nobody_and_leaves_its_address() {
    let relay = start(config());
    let bound = relay.listeners()[0].bound;
    Client::to(bound).allocate();
    assert!(!relay.failed());
    relay.shutdown().unwrap();
    UdpSocket::bind(bound).expect("the address is free again");
}

#[test]
fn a_dropped_relay_ends_too() {
    let bound = start(config()).listeners()[0].bound;
    UdpSocket::bind(bound).expect("the address is free again");
}

#[test]
fn an_address_in_use_is_named_also_if_a_relay_has_it() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relay = start(listening(&taken.to_string()));
    let text = refusal(listening(&taken.to_string()));
    assert!(text.contains(&format!("{taken} is in use")) && text.contains("--turn"), "{text}");
    Client::new(&relay).binding();
}

#[test]
fn an_address_of_another_machine_is_told_from_ours() {
    let text = refusal(listening("203.0.113.77:3478"));
    assert!(text.contains("203.0.113.77:3478 is not an address of this machine"), "{text}");
    assert!(text.contains("--public-ip 203.0.113.77"), "{text}");
}

#[test]
fn a_public_address_must_be_one_and_stand_for_a_listener() {
    let with = |public: &[&str]| RelayConfig {
        public_ip: public.iter().map(|ip| ip.parse().unwrap()).collect(),
        ..config()
    };
    for wrong in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::"] {
        let text = refusal(with(&[wrong]));
        assert!(text.contains(&format!("--public-ip {wrong} ")), "{text}");
    }
    let text = refusal(with(&["203.0.113.1", "203.0.113.2"]));
    assert!(text.contains("--public-ip 203.0.113.1 and 203.0.113.2"), "{text}");
    let text = refusal(with(&["203.0.113.1"]));
    assert!(text.contains("--public-ip 203.0.113.1") && text.contains("0.0.0.0:3478"), "{text}");
}

#[test]
fn a_wildcard_listens_on_every_address_with_one_port() {
    let public: IpAddr = "203.0.113.1".parse().unwrap();
    let relay = Relay::start(
        RelayConfig { public_ip: vec![public], ..listening("0.0.0.0:0") },
        Clock::start(),
    );
    let relay = match relay {
        Ok(relay) => relay,
        // A machine without a network.
        Err(StartError::PublicIpUnused(..)) => start(listening("0.0.0.0:0")),
        Err(error) => panic!("{error}"),
    };
    let port = relay.listeners()[0].bound.port();
    assert_ne!(port, 0);
    let mut has_loopback = false;
    for address in relay.listeners() {
        assert_eq!(address.bound.port(), port);
        assert_eq!(address.advertised.port(), port);
        let is_loopback = address.bound.ip().is_loopback();
        has_loopback |= is_loopback;
        let outside = if is_loopback { address.bound.ip() } else { public };
        assert_eq!(address.advertised.ip(), outside);
        // From loopback each of them is reached, and it answers from the same address.
        if is_loopback {
            assert_eq!(Client::to(address.bound).allocate().ip(), outside);
        }
    }
    assert!(has_loopback);
}

#[test]
fn an_address_given_twice_is_bound_once() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relay = start(RelayConfig { listen: vec![taken, taken], ..config() });
    assert_eq!(relay.listeners().len(), 1);
}

#[test]
fn a_port_range_must_have_a_free_port_for_each_worker() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = refusal(RelayConfig { port_range: port..=port, workers: 1, ..config() });
    assert!(text.contains(&format!("--port-range {port}-{port}")), "{text}");
    for (first, last) in [(0, 10), (20, 10)] {
        let text = refusal(RelayConfig { port_range: first..=last, ..config() });
        assert!(text.contains(&format!("--port-range {first}-{last} is empty")), "{text}");
    }
}

#[test]
fn the_number_of_workers_has_bounds() {
    for workers in [0, RelayConfig::WORKERS_MAX + 1] {
        let text = refusal(RelayConfig { workers, ..config() });
        assert!(text.contains(&format!("--workers {workers} ")), "{text}");
    }
    let text = refusal(RelayConfig { listen: Vec::new(), ..config() });
    assert!(text.contains("--turn"), "{text}");
}

#[test]
fn a_small_range_gives_all_its_ports_and_then_says_no_until_one_is_free() {
    let range: Vec<_> = (0..4).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let first = range[0].local_addr().unwrap().port().min(65_000);
    drop(range);
    let ports = first..=first + 7;
    let relay = start(RelayConfig { port_range: ports.clone(), workers: 1, ..config() });
    let mut clients = Vec::new();
    let refused = loop {
        let mut client = Client::new(&relay);
        match client.try_allocate() {
            Ok(relayed) => assert!(ports.contains(&relayed.port()), "{relayed}"),
            Err(code) => break code,
        }
        clients.push(client);
        assert!(clients.len() <= 8, "more allocations than ports");
    };
    assert_eq!(refused, 508);
    assert!(!clients.is_empty());
    assert!(counter(&relay, "relay_allocations_begun", None) <= clients.len() as u64);
    clients.pop().unwrap().refresh(0).unwrap();
    wait_until("a port is free", || Client::new(&relay).try_allocate().is_ok());
}

#[test]
fn small_buffers_are_told_with_the_setting_that_limits_them() {
    let mut config = config();
    config.limits.listener_receive_bytes = 1 << 30;
    let relay = start(config);
    let told: Vec<_> = relay.notes().iter().map(ToString::to_string).collect();
    // Root may force even this much; anybody else is told.
    assert!(
        told.iter().all(|note| !note.contains("receive") || note.contains("net.core.rmem_max"))
    );
}

#[test]
fn two_relays_live_beside_each_other() {
    let (one, two) = (start(config()), start(config()));
    let addresses: [SocketAddr; 2] = [&one, &two].map(|relay| relay.listeners()[0].bound);
    assert_ne!(addresses[0], addresses[1]);
    for address in addresses {
        Client::to(address).allocate();
    }
}
