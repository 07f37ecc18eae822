//! How many connections there may be, and how many that have shown no credentials yet.

use crate::config::StreamLimits;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the connections. Asked once for each, not for its messages.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: StreamLimits,
    counts: Mutex<Counts>,
}

/// A source has an entry only while it has half-open connections, of which there are at most
/// [`StreamLimits::half_open_max`].
#[derive(Debug, Default)]
struct Counts {
    open: usize,
    half_open: usize,
    sources: HashMap<IpAddr, usize>,
}

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There are as many as there may be.
    Connections,
    /// There are as many half-open ones as there may be.
    HalfOpen,
    /// There are as many half-open ones from its source as there may be.
    Source,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    /// The source, while it is half open.
    half_open: Option<IpAddr>,
}

impl Gate {
    pub(crate) fn new(limits: StreamLimits) -> Self {
        Self { limits, counts: Mutex::default() }
    }

    /// Lets a connection in, half open.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Place, Refusal> {
        let source = prefix(ip);
        let mut counts = self.lock();
        if counts.open >= self.limits.connections_max {
            return Err(Refusal::Connections);
        }
        if counts.half_open >= self.limits.half_open_max {
            return Err(Refusal::HalfOpen);
        }
        let of_source = counts.sources.get(&source).copied().unwrap_or_default();
        if of_source >= self.limits.half_open_per_source_max {
            return Err(Refusal::Source);
        }
        counts.open += 1;
        counts.half_open += 1;
        counts.sources.insert(source, of_source + 1);
        drop(counts);
        Ok(Place { gate: Arc::clone(self), half_open: Some(source) })
    }

    /// How many connections there are.
    pub(crate) fn open(&self) -> usize {
        self.lock().open
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Takes note that the client has an allocation, and so credentials.
    pub(crate) fn opened(&mut self) {
        if let Some(source) = self.half_open.take() {
            self.gate.lock().leave(source);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.opened();
        self.gate.lock().open -= 1;
    }
}

impl Counts {
    fn leave(&mut self, source: IpAddr) {
        self.half_open -= 1;
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }
}

/// What one subscriber has: an IPv4 address or an IPv6 /64.
fn prefix(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Arc<Gate> {
        let limits = StreamLimits {
            connections_max: 5,
            half_open_max: 3,
            half_open_per_source_max: 2,
            ..StreamLimits::default()
        };
        Arc::new(Gate::new(limits))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn half_open_connections_have_limits_by_source_and_in_total() {
        let gate = gate();
        let mut places = vec![gate.admit(ip("192.0.2.1")).unwrap()];
        places.push(gate.admit(ip("::ffff:192.0.2.1")).unwrap());
        assert_eq!(gate.admit(ip("192.0.2.1")).unwrap_err(), Refusal::Source);
        places.push(gate.admit(ip("192.0.2.2")).unwrap());
        assert_eq!(gate.admit(ip("192.0.2.3")).unwrap_err(), Refusal::HalfOpen);
        places[0].opened();
        places.push(gate.admit(ip("192.0.2.1")).unwrap());
        places[1].opened();
        places[2].opened();
        places.push(gate.admit(ip("192.0.2.4")).unwrap());
        assert_eq!(gate.admit(ip("192.0.2.5")).unwrap_err(), Refusal::Connections);
    }

    #[test]
    fn places_come_back_and_no_source_is_remembered() {
        let gate = gate();
        for _ in 0..10 {
            let (one, mut two) = (gate.admit(ip("::1")).unwrap(), gate.admit(ip("::1")).unwrap());
            two.opened();
            drop((one, two));
        }
        let counts = gate.lock();
        assert_eq!((counts.open, counts.half_open, counts.sources.len()), (0, 0, 0));
    }

    #[test]
    fn a_64_of_ipv6_is_one_source() {
        let gate = gate();
        let _places =
            [gate.admit(ip("2001:db8::1")).unwrap(), gate.admit(ip("2001:db8::2")).unwrap()];
        assert_eq!(gate.admit(ip("2001:db8::3")).unwrap_err(), Refusal::Source);
        assert!(gate.admit(ip("2001:db8:0:1::1")).is_ok());
    }
}
