//! The networks do what their description says: RFC 4787, probed as RFC 5780 does.

use heliograph_base::Time;
use heliograph_sim::nat::{Filtering, Kind, Mapping, Nat};
use heliograph_sim::{Dice, HostId, INTERNET, Net, Weather};
use std::net::SocketAddr;

const PORT: u16 = 5000;

struct Probe {
    net: Net,
    now: Time,
    host: HostId,
    /// Two hosts of the internet.
    servers: [HostId; 2],
}

impl Probe {
    fn of(kind: Kind) -> Self {
        let mut net = Net::new(Weather::FAIR, Dice::new(1));
        let servers = [(); 2].map(|()| net.add_host_of(kind.family(), INTERNET));
        let inside = net.add_networks(INTERNET, kind.gates());
        let host = net.add_host_of(kind.family(), inside);
        Self { net, now: Time::START, host, servers }
    }

    fn server(&self, server: usize, port: u16) -> SocketAddr {
        SocketAddr::new(self.net.address(self.servers[server]), port)
    }

    /// Sends, and tells from where that came, if it did.
    fn send(&mut self, host: HostId, port: u16, to: SocketAddr) -> Option<SocketAddr> {
        self.net.send(self.now, host, port, to, b"probe".to_vec());
        let mut from = None;
        while let Some(due) = self.net.poll_timeout() {
            self.now = due;
            if let Some(delivery) = self.net.poll_delivery(due) {
                from = Some(delivery.from);
            }
        }
        from
    }

    fn mapping(&mut self) -> Option<Mapping> {
        let mut mapped = |server, port| {
            let to = self.server(server, port);
            self.send(self.host, PORT, to)
        };
        let one = mapped(0, 1)?;
        let other_port = mapped(0, 2)?;
        let other_address = mapped(1, 1)?;
        Some(match (one == other_address, one == other_port) {
            (true, true) => Mapping::EndpointIndependent,
            (false, true) => Mapping::AddressDependent,
            (_, false) => Mapping::AddressAndPortDependent,
        })
    }

    fn filtering(&mut self) -> Option<Filtering> {
        let to = self.server(0, 1);
        let outside = self.send(self.host, PORT, to)?;
        let [one, two] = self.servers;
        assert!(self.send(one, 1, outside).is_some(), "an answer comes in");
        Some(if self.send(two, 1, outside).is_some() {
            Filtering::EndpointIndependent
        } else if self.send(one, 2, outside).is_some() {
            Filtering::AddressDependent
        } else {
            Filtering::AddressAndPortDependent
        })
    }
}

#[test]
fn every_kind_of_nat_is_what_it_is_called() {
    for kind in Kind::ALL {
        let mapping = Probe::of(kind).mapping();
        let filtering = Probe::of(kind).filtering();
        assert_eq!(mapping.zip(filtering), kind.behavior(), "{kind}");
    }
}

#[test]
fn a_mapping_lasts_as_long_as_it_is_used() {
    let mut probe = Probe::of(Kind::Symmetric);
    let to = probe.server(0, 1);
    let first = probe.send(probe.host, PORT, to);
    let mut after = |wait| {
        probe.now += wait;
        probe.send(probe.host, PORT, to)
    };
    let most = Nat::SYMMETRIC.timeout * 9 / 10;
    assert_eq!([after(most), after(most), after(most)], [first; 3]);
    assert_ne!(after(Nat::SYMMETRIC.timeout), first);
}

#[test]
fn who_sends_to_its_own_outside_meets_itself_only_by_hairpin() {
    for hairpin in [false, true] {
        let mut probe = Probe::of(Kind::Open);
        let nat = Nat { hairpin, ..Nat::FULL_CONE };
        let inside = probe.net.add_network(INTERNET, nat);
        let [one, two] = [probe.net.add_host(inside), probe.net.add_host(inside)];
        let to = probe.server(0, 1);
        let outside = probe.send(one, PORT, to).expect("it gets out");
        let seen = probe.send(two, PORT + 1, outside);
        assert_eq!(seen.is_some(), hairpin);
        if let Some(seen) = seen {
            assert_eq!(seen.ip(), outside.ip(), "RFC 4787 REQ-9: by its outside address");
        }
    }
}
