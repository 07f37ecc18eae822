//! Connectivity checks from addresses that no signal has named.
//!
//! A peer's check through its relay can overtake the signal that names the relay. webrtc 0.21.1
//! then takes the relay for a peer-reflexive candidate, ranks it above every server-reflexive one,
//! and stays with it though a direct path works. So a stranger's checks, which are repeated anyway,
//! are let in when its signal has had time to come. Who really has no other address, as behind a
//! symmetric NAT, waits that long.
//!
//! Only the side that chooses the pair does so. The other one answers everybody at once: a browser
//! that chooses, and hides its addresses, might else take the relay meanwhile.

use super::config::{ADDRESSES_KNOWN_MAX, STRANGER_WAIT, STRANGERS_MAX};
use heliograph_base::Time;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, OnceLock, PoisonError};

/// First two bytes of a STUN Binding request (RFC 8489 §5).
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];

/// An address without the scope that IPv6 sockets put beside it.
type Address = (IpAddr, u16);

/// Tells strangers from the peer's known addresses, for all sockets of a connection.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// Whether this side chooses the pair, once that is known.
    chooses: OnceLock<bool>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    known: HashSet<Address>,
    /// Strangers, and when each was first heard.
    waiting: Vec<(Address, Time)>,
}

impl Strangers {
    /// Takes note whether this side chooses the pair, which it does if it made the first offer
    /// (RFC 8445 §6.1.1). What is said later changes nothing.
    pub(super) fn set_chooses(&self, chooses: bool) {
        let _ = self.chooses.set(chooses);
    }

    /// Takes note of the address in a candidate that ICE knows by now (RFC 8839 §5.1). A name
    /// instead of an address, by which browsers hide, says nothing.
    pub(super) fn introduce(&self, candidate: &str) {
        let Some(address) = address(candidate) else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.known.len() < ADDRESSES_KNOWN_MAX {
            seen.known.insert(address);
        }
    }

    /// Whether ICE is to see what came from there.
    pub(super) fn let_in(&self, from: SocketAddr, datagram: &[u8], now: Time) -> bool {
        if self.chooses.get() != Some(&true) || !datagram.starts_with(&BINDING_REQUEST) {
            return true;
        }
        let from = (from.ip().to_canonical(), from.port());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.known.contains(&from) {
            return true;
        }
        match seen.waiting.iter().find(|(address, _)| *address == from) {
            Some((_, first)) => now.since(*first) >= STRANGER_WAIT,
            // With so many, forged ones could keep the true one out.
            None if seen.waiting.len() >= STRANGERS_MAX => true,
            None => {
                seen.waiting.push((from, now));
                false
            }
        }
    }
}

fn address(candidate: &str) -> Option<Address> {
    let mut words = candidate.split_ascii_whitespace().skip(4);
    let ip: IpAddr = words.next()?.parse().ok()?;
    Some((ip.to_canonical(), words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const CHECK: &[u8] = &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    const RELAY: &str =
        "candidate:1 1 udp 16777215 192.0.2.1 49152 typ relay raddr 0.0.0.0 rport 0";

    fn at(port: u16) -> SocketAddr {
        SocketAddr::new([192, 0, 2, 1].into(), port)
    }

    fn ms(ms: u64) -> Time {
        Time::START + Duration::from_millis(ms)
    }

    fn chooser() -> Strangers {
        let strangers = Strangers::default();
        strangers.set_chooses(true);
        strangers
    }

    #[test]
    fn who_does_not_choose_lets_everybody_in() {
        let strangers = Strangers::default();
        assert!(strangers.let_in(at(1), CHECK, ms(0)), "nobody chooses yet");
        strangers.set_chooses(false);
        strangers.set_chooses(true);
        assert!(strangers.let_in(at(1), CHECK, ms(0)), "the first offer was the other side's");
    }

    #[test]
    fn a_check_that_overtakes_its_signal_waits_for_it() {
        let strangers = chooser();
        assert!(!strangers.let_in(at(49152), CHECK, ms(0)));
        strangers.introduce(RELAY);
        assert!(strangers.let_in(at(49152), CHECK, ms(20)));
        assert!(!strangers.let_in(at(49153), CHECK, ms(20)), "another port is another address");
    }

    #[test]
    fn a_check_without_a_signal_is_let_in_after_a_while() {
        let strangers = chooser();
        let while_ms = u64::try_from(STRANGER_WAIT.as_millis()).unwrap();
        assert!(!strangers.let_in(at(1), CHECK, ms(5)));
        assert!(!strangers.let_in(at(1), CHECK, ms(4 + while_ms)));
        assert!(strangers.let_in(at(1), CHECK, ms(5 + while_ms)));
    }

    #[test]
    fn all_but_checks_are_let_in_at_once() {
        let strangers = chooser();
        for datagram in [&[0x01, 0x01, 0, 0][..], &[0x00, 0x17], &[22, 0xfe], &[0], &[]] {
            assert!(strangers.let_in(at(1), datagram, ms(0)), "{datagram:?}");
        }
    }

    #[test]
    fn a_crowd_of_strangers_keeps_nobody_out() {
        let strangers = chooser();
        for port in 0..u16::try_from(STRANGERS_MAX).unwrap() {
            assert!(!strangers.let_in(at(port), CHECK, ms(0)));
        }
        assert!(strangers.let_in(at(9999), CHECK, ms(0)));
    }

    #[test]
    fn a_name_or_nonsense_introduces_nobody() {
        for text in ["", "candidate:1 1 udp 1 a1b2.local 9 typ host", "a b c d 192.0.2.1 x", RELAY]
        {
            assert_eq!(address(text).is_some(), text == RELAY, "{text}");
        }
    }
}
