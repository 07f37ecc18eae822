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
    /// The address of the listener that the client uses.
    pub(super) listener: IpAddr,
}

impl Wanted {
    /// The same, but of another family.
    pub(super) const fn of(self, family: Family) -> Self {
        Self { family, ..self }
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

    /// Takes the oldest port that fits.
    ///
    /// A client gets a port on the address by which it reached the relay, since what reaches that
    /// reaches it. Only if no ports are ever bound there, such as when the family is another, any
    /// address does; best one that is loopback if and only if the listener is.
    pub(super) fn take(&mut self, wanted: Wanted) -> Option<StockedPort> {
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
        let (place, _) = (self.ports.iter().enumerate())
            .filter(|(_, stocked)| fits(stocked))
            .min_by_key(|(place, stocked)| (is_elsewhere(stocked), *place))?;
        Some(self.ports.remove(place))
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
        let wanted =
            Wanted { family: Family::V6, is_even: false, listener: "192.0.2.1".parse().unwrap() };
        let taken = |stock: &mut Stock| stock.take(wanted).map(|stocked| stocked.port);
        assert_eq!(taken(&mut stock), Some(PortId(1)));
        assert_eq!(taken(&mut stock), Some(PortId(0)));
        assert_eq!(taken(&mut stock), None);
    }
}
