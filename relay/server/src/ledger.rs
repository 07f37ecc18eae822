//! Which relay ports are in use or resting, over all workers.

use heliograph_base::Time;
use rand::Rng;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Every relay port of this process: free, taken, or resting after use. Shared by the workers; 4
/// bytes a port.
///
/// Kept by advertised address: two bound addresses behind one public address never share a port
/// number.
#[derive(Debug)]
pub(crate) struct Ledger {
    first: u16,
    rest: Duration,
    addresses: Vec<(IpAddr, Box<[AtomicU32]>)>,
}

/// Any other value is the second from which on the port may be used again.
const TAKEN: u32 = u32::MAX;

/// How many ports are tried at random before all are looked through.
const RANDOM_TRIES: usize = 16;

impl Ledger {
    pub(crate) fn new(
        advertised: impl IntoIterator<Item = IpAddr>,
        range: RangeInclusive<u16>,
        rest: Duration,
    ) -> Self {
        let mut ledger = Self { first: *range.start(), rest, addresses: Vec::new() };
        for ip in advertised {
            if !ledger.addresses.iter().any(|(known, _)| *known == ip) {
                let slots = range.clone().map(|_| AtomicU32::new(0)).collect();
                ledger.addresses.push((ip, slots));
            }
        }
        ledger
    }

    /// Over all addresses.
    pub(crate) fn ports(&self) -> usize {
        self.addresses.iter().map(|(_, slots)| slots.len()).sum()
    }

    /// Takes a random port of `ip` that has rested, or if there is none, any that is free.
    pub(crate) fn take(&self, ip: IpAddr, now: Time, random: &mut impl Rng) -> Option<u16> {
        let slots = self.slots(ip)?;
        let mut place = || random.next_u32() as usize % slots.len();
        let tries: [usize; RANDOM_TRIES] = std::array::from_fn(|_| place());
        let begin = place();
        let all = || (begin..slots.len()).chain(0..begin);
        let place = (tries.into_iter().find(|place| take(&slots[*place], seconds(now))))
            .or_else(|| all().find(|place| take(&slots[*place], seconds(now))))
            .or_else(|| all().find(|place| take(&slots[*place], TAKEN - 1)))?;
        Some(self.first + place as u16)
    }

    /// Takes two ports of `ip` next to each other that have rested, the first with an even number.
    /// It looks at some only: in a range in full use there may be a pair that it doesn't find.
    pub(crate) fn take_pair(&self, ip: IpAddr, now: Time, random: &mut impl Rng) -> Option<u16> {
        let slots = self.slots(ip)?;
        let first = usize::from(self.first % 2);
        let pairs = slots.len().saturating_sub(first) / 2;
        if pairs == 0 {
            return None;
        }
        let second = seconds(now);
        (0..RANDOM_TRIES).find_map(|_| {
            let place = first + 2 * (random.next_u32() as usize % pairs);
            if !take(&slots[place], second) {
                return None;
            }
            let number = self.first + place as u16;
            if !take(&slots[place + 1], second) {
                self.give_back(ip, number);
                return None;
            }
            Some(number)
        })
    }

    /// Lets a taken port rest.
    pub(crate) fn rest(&self, ip: IpAddr, port: u16, now: Time) {
        self.set(ip, port, seconds(now + self.rest).saturating_add(1).min(TAKEN - 1));
    }

    /// Gives back a taken port that was not used.
    pub(crate) fn give_back(&self, ip: IpAddr, port: u16) {
        self.set(ip, port, 0);
    }

    fn set(&self, ip: IpAddr, port: u16, value: u32) {
        let place = usize::from(port - self.first);
        if let Some(slot) = self.slots(ip).and_then(|slots| slots.get(place)) {
            slot.store(value, Ordering::Release);
        }
    }

    fn slots(&self, ip: IpAddr) -> Option<&[AtomicU32]> {
        self.addresses.iter().find(|(known, _)| *known == ip).map(|(_, slots)| &**slots)
    }
}

/// Takes the port of `slot` if it is free from `second` or earlier.
fn take(slot: &AtomicU32, second: u32) -> bool {
    let free_from = slot.load(Ordering::Acquire);
    free_from <= second
        && slot.compare_exchange(free_from, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

fn seconds(time: Time) -> u32 {
    u32::try_from(time.since_start().as_secs()).map_or(TAKEN - 1, |seconds| seconds.min(TAKEN - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::HashSet;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const REST: Duration = Duration::from_secs(120);

    fn after(seconds: u64) -> Time {
        Time::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn every_port_of_the_range_is_taken_once() {
        let (ledger, mut random) = (Ledger::new([IP], 100..=163, REST), StdRng::seed_from_u64(1));
        let mut take = || ledger.take(IP, after(0), &mut random);
        let taken: HashSet<_> = (0..64).map(|_| take().unwrap()).collect();
        assert_eq!(taken, (100..=163).collect());
        assert_eq!(take(), None);
    }

    #[test]
    fn a_closed_port_rests_for_two_minutes() {
        let (ledger, mut random) =
            (Ledger::new([IP], 65_532..=65_535, REST), StdRng::seed_from_u64(2));
        let mut take = |now| ledger.take(IP, now, &mut random);
        let rested = take(after(10)).unwrap();
        ledger.rest(IP, rested, after(10));
        for _ in 0..2 {
            let port = take(after(129)).unwrap();
            assert_ne!(port, rested);
            ledger.give_back(IP, port);
        }
        let later: HashSet<_> = (0..4).map(|_| take(after(131)).unwrap()).collect();
        assert!(later.contains(&rested));
    }

    #[test]
    fn a_full_range_cuts_the_rest_short() {
        let (ledger, mut random) = (Ledger::new([IP], 100..=101, REST), StdRng::seed_from_u64(3));
        let mut take = || ledger.take(IP, after(0), &mut random);
        let (one, two) = (take().unwrap(), take().unwrap());
        assert_eq!(take(), None);
        ledger.rest(IP, one, after(0));
        assert_eq!(take(), Some(one));
        ledger.rest(IP, two, after(0));
        assert_eq!(take(), Some(two));
    }

    #[test]
    fn a_pair_begins_with_an_even_port_and_both_are_taken() {
        let (ledger, mut random) = (Ledger::new([IP], 101..=104, REST), StdRng::seed_from_u64(5));
        assert_eq!(ledger.take_pair(IP, after(0), &mut random), Some(102));
        assert_eq!(ledger.take_pair(IP, after(0), &mut random), None);
        let others = [(); 3].map(|()| ledger.take(IP, after(0), &mut random));
        assert!(others.contains(&Some(101)) && others.contains(&Some(104)));
        assert!(others.contains(&None));
        ledger.give_back(IP, 102);
        assert_eq!(ledger.take_pair(IP, after(0), &mut random), None);
        ledger.give_back(IP, 103);
        assert_eq!(ledger.take_pair(IP, after(0), &mut random), Some(102));
    }

    #[test]
    fn addresses_have_their_own_ports_and_a_stranger_none() {
        let other = IpAddr::from([127, 0, 0, 2]);
        let (ledger, mut random) =
            (Ledger::new([IP, other, IP], 7..=7, REST), StdRng::seed_from_u64(4));
        assert_eq!(ledger.ports(), 2);
        assert_eq!(ledger.take(IP, after(0), &mut random), Some(7));
        assert_eq!(ledger.take(other, after(0), &mut random), Some(7));
        assert_eq!(ledger.take(IpAddr::from([127, 0, 0, 3]), after(0), &mut random), None);
    }
}
