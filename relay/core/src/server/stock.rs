//! The relay ports that are bound but not yet taken.

use crate::PortId;
use std::net::{IpAddr, SocketAddr};

/// Bound relay ports, ready to be allocated. The shell keeps them few, so they are scanned.
#[derive(Debug, Default)]
pub(super) struct Stock {
    ports: Vec<StockedPort>,
    /// Every address a port was ever bound to.
    hosts: Vec<IpAddr>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct StockedPort {
    pub(super) port: PortId,
    bound: SocketAddr,
    pub(super) advertised: SocketAddr,
}

/// Which port an allocation wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) family: Family,
    pub(super) is_even: bool,
    /// With the next port, which is kept for a later Allocate.
    pub(super) with_next: bool,
    /// The address of the listener that the client uses.
    pub(super) listener: IpAddr,
}

impl Wanted {
    /// The same, but of another family.
    pub(super) const fn of(self, family: Family) -> Self {
        Self { family, ..self }
    }
}

impl StockedPort {
    /// The same number of a port, but another address behind it.
    pub(super) const fn renamed(self, advertised: SocketAddr) -> Self {
        Self { advertised, ..self }
    }

    /// Whether `next` has the next number on the same address, and this an even one.
    fn is_before(&self, next: &Self) -> bool {
        let (own, next_own) = (self.advertised, next.advertised);
        own.port().is_multiple_of(2)
            && own.port() + 1 == next_own.port()
            && own.ip() == next_own.ip()
            && self.bound.ip() == next.bound.ip()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// Its number on the wire. RFC 8656 §18.6.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 2,
        }
    }
}

impl Stock {
    pub(super) fn put(&mut self, port: PortId, bound: SocketAddr, advertised: SocketAddr) {
        if !self.hosts.contains(&bound.ip()) {
            self.hosts.push(bound.ip());
        }
        self.ports.push(StockedPort { port, bound, advertised });
    }

    /// Whether there was ever a port in it.
    pub(super) fn was_filled(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// Takes the oldest port that fits; one of a pair only if there is no other.
    ///
    /// A client gets a port on the address by which it reached the relay, since what reaches that
    /// reaches it. Only if no ports are ever bound there, such as when the family is another, any
    /// address does; best one that is loopback if and only if the listener is.
    pub(super) fn take(&mut self, wanted: Wanted) -> Option<StockedPort> {
        let place = self.best(wanted, |_| true)?;
        Some(self.ports.remove(place))
    }

    /// Takes a port as [`Self::take`] does that has the next one beside it, and that one too.
    pub(super) fn take_pair(&mut self, wanted: Wanted) -> Option<(StockedPort, StockedPort)> {
        let next_of = |even: &StockedPort| self.ports.iter().position(|odd| even.is_before(odd));
        let place = self.best(wanted, |even| next_of(even).is_some())?;
        let even = self.ports[place];
        let odd = self.ports[next_of(&even)?];
        self.ports.retain(|stocked| ![even.port, odd.port].contains(&stocked.port));
        Some((even, odd))
    }

    /// Takes the second half of a pair whose first is taken, if it was one: odd ones that nobody
    /// asks for would pile up in the stock.
    pub(super) fn take_next(&mut self, even: &StockedPort) -> Option<StockedPort> {
        let place = self.ports.iter().position(|odd| even.is_before(odd))?;
        Some(self.ports.remove(place))
    }

    /// Takes any port, for its number.
    pub(super) fn take_spare(&mut self) -> Option<StockedPort> {
        let place = (0..self.ports.len()).min_by_key(|place| self.is_paired(*place))?;
        Some(self.ports.remove(place))
    }

    /// Puts ports back that were taken in vain.
    pub(super) fn give_back(&mut self, ports: impl IntoIterator<Item = StockedPort>) {
        self.ports.extend(ports);
    }

    fn is_paired(&self, place: usize) -> bool {
        let own = &self.ports[place];
        self.ports.iter().any(|other| own.is_before(other) || other.is_before(own))
    }

    /// Where the port is that fits best, of those that may be taken.
    fn best(&self, wanted: Wanted, may: impl Fn(&StockedPort) -> bool) -> Option<usize> {
        let here_only =
            Family::of(wanted.listener) == wanted.family && self.hosts.contains(&wanted.listener);
        let fits = |stocked: &StockedPort| {
            Family::of(stocked.advertised.ip()) == wanted.family
                && (!here_only || stocked.bound.ip() == wanted.listener)
                && (!wanted.is_even || stocked.advertised.port().is_multiple_of(2))
        };
        let is_elsewhere = |stocked: &StockedPort| {
            stocked.bound.ip().is_loopback() != wanted.listener.is_loopback()
        };
        let places = || {
            let all = self.ports.iter().enumerate();
            all.filter(|(_, stocked)| fits(stocked) && may(stocked))
        };
        // Nearly always the first is as good as any, and whether one is paired takes long to see.
        let best = places()
            .find(|(place, stocked)| !is_elsewhere(stocked) && !self.is_paired(*place))
            .or_else(|| {
                places().min_by_key(|(place, stocked)| {
                    (is_elsewhere(stocked), self.is_paired(*place), *place)
                })
            });
        best.map(|(place, _)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_from_outside_gets_no_port_on_loopback_while_there_is_another() {
        let mut stock = Stock::default();
        for (number, address) in ["[::1]:50000", "[2001:db8::1]:50001"].into_iter().enumerate() {
            let address = address.parse().unwrap();
            stock.put(PortId(number as u32), address, address);
        }
        let listener = "192.0.2.1".parse().unwrap();
        let wanted = Wanted { family: Family::V6, is_even: false, with_next: false, listener };
        let taken = |stock: &mut Stock| stock.take(wanted).map(|stocked| stocked.port);
        assert_eq!(taken(&mut stock), Some(PortId(1)));
        assert_eq!(taken(&mut stock), Some(PortId(0)));
        assert_eq!(taken(&mut stock), None);
    }

    #[test]
    fn a_pair_is_left_for_those_who_want_one() {
        let mut stock = Stock::default();
        for (number, port) in (0..).zip([50_002, 50_003, 50_005, 50_006, 50_001]) {
            let address = SocketAddr::new([192, 0, 2, 1].into(), port);
            stock.put(PortId(number), address, address);
        }
        let listener = [192, 0, 2, 1].into();
        let wanted = Wanted { family: Family::V4, is_even: false, with_next: false, listener };
        let pair = stock.take_pair(wanted).unwrap();
        assert_eq!((pair.0.port, pair.1.port), (PortId(0), PortId(1)));
        assert!(stock.take_pair(wanted).is_none());
        stock.give_back([pair.0, pair.1]);
        let number = |stocked: Option<StockedPort>| stocked.map(|one| one.port.0);
        assert_eq!(number(stock.take(wanted)), Some(2));
        assert_eq!(number(stock.take_spare()), Some(3));
        assert_eq!(number(stock.take(Wanted { is_even: true, ..wanted })), Some(0));
        assert_eq!(number(stock.take_spare()), Some(4));
        assert_eq!(number(stock.take_spare()), Some(1));
        assert!(stock.take_spare().is_none());
    }
}
