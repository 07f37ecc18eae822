//! Who gets in, and when the others may come back: limits for each address and for all.
//!
//! What has begun goes first: frames of sessions are only paced (by [`signal_core::Edge`]), resumes
//! have a rate of their own, joins a lower one, and both wait in queues of their own in front of
//! the shards. Who is refused is told when it is its turn, each a little later than the one before,
//! so that a herd comes back at the rate that is served.

use crate::AdmissionLimits;
use crate::auth::Who;
use heliograph_base::Time;
use signal_core::Bucket;
use signal_core::protocol::ErrorCode;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A refusal, and after how long to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    pub(crate) retry_after: Duration,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A seat.
    Join,
    /// A session that has begun.
    Resume,
    /// That a newer token is checked.
    Renew,
}

/// Counts what addresses do.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: AdmissionLimits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sources: HashMap<IpAddr, Source>,
    subjects: HashMap<Who, Subject>,
    joins: Gate,
    resumes: Gate,
}

#[derive(Debug, Default)]
struct Source {
    connections: usize,
    tickets: usize,
    joins: Bucket,
    requests: Bucket,
}

#[derive(Debug, Default)]
struct Subject {
    sessions: usize,
    joins: Bucket,
}

/// A rate for all, and the turns of those who were refused.
#[derive(Debug, Default)]
struct Gate {
    bucket: Bucket,
    /// The turn of the last one who was refused.
    last_turn: Time,
}

/// The place of one connection or ticket of an address; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    source: IpAddr,
    of: What,
}

/// What an address has places for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Connection,
    Ticket,
}

/// The place of one session of a subject; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct SubjectPlace {
    admission: Arc<Admission>,
    who: Who,
}

/// How long who has too many connections or tickets waits before it tries again.
const CONNECTIONS_RETRY: Duration = Duration::from_secs(5);

/// Nobody is told to come back later than this.
const RETRY_MAX: Duration = Duration::from_secs(60);

impl Admission {
    pub(crate) fn new(limits: AdmissionLimits) -> Self {
        Self { limits, counts: Mutex::default() }
    }

    /// A place for one more connection of an address.
    pub(crate) fn connect(self: &Arc<Self>, now: Time, address: IpAddr) -> Result<Place, Refused> {
        self.place(now, address, (What::Connection, self.limits.address_connections_max))
    }

    /// A place for one more ticket of an address.
    pub(crate) fn ticket(self: &Arc<Self>, now: Time, address: IpAddr) -> Result<Place, Refused> {
        self.place(now, address, (What::Ticket, self.limits.address_tickets_max))
    }

    fn place(
        self: &Arc<Self>,
        now: Time,
        address: IpAddr,
        (of, most): (What, usize),
    ) -> Result<Place, Refused> {
        let source = prefix(address);
        let refused = Refused { code: ErrorCode::RateLimited, retry_after: CONNECTIONS_RETRY };
        let mut counts = self.lock();
        let known = counts.source(now, source, self.limits.addresses_max).ok_or(refused)?;
        let taken = known.places(of);
        if most > 0 && *taken >= most {
            return Err(refused);
        }
        *taken += 1;
        Ok(Place { admission: self.clone(), source, of })
    }

    /// Whether an address may make one more request that is answered at once.
    pub(crate) fn request(&self, now: Time, address: IpAddr) -> Result<(), Refused> {
        let rate = (self.limits.address_requests_per_s, self.limits.address_requests_burst);
        let mut counts = self.lock();
        let known = counts.source(now, prefix(address), self.limits.addresses_max);
        let outcome = known.map_or(Err(CONNECTIONS_RETRY), |it| it.requests.try_take(now, 1, rate));
        outcome.map_err(|retry_after| Refused { code: ErrorCode::RateLimited, retry_after })
    }

    /// Whether a wish of an address may go to a shard now.
    pub(crate) fn admit(&self, now: Time, address: IpAddr, wish: Wish) -> Result<(), Refused> {
        let limits = &self.limits;
        let mut counts = self.lock();
        if wish != Wish::Resume {
            let rate = (limits.address_joins_per_s, limits.address_joins_burst);
            let known = counts.source(now, prefix(address), limits.addresses_max);
            let outcome =
                known.map_or(Err(CONNECTIONS_RETRY), |it| it.joins.try_take(now, 1, rate));
            outcome.map_err(|retry_after| Refused { code: ErrorCode::RateLimited, retry_after })?;
        }
        let (gate, rate) = match wish {
            Wish::Renew => return Ok(()),
            Wish::Join => (&mut counts.joins, (limits.joins_per_s, limits.joins_burst)),
            Wish::Resume => (&mut counts.resumes, (limits.resumes_per_s, limits.resumes_burst)),
        };
        gate.pass(now, rate).map_err(|retry_after| Refused { code: ErrorCode::Busy, retry_after })
    }

    /// A place for one more session of a subject, if it may join now.
    pub(crate) fn join_as(self: &Arc<Self>, now: Time, who: Who) -> Result<SubjectPlace, Refused> {
        let limits = &self.limits;
        let refused = |retry_after| Err(Refused { code: ErrorCode::RateLimited, retry_after });
        let mut counts = self.lock();
        let Some(known) = counts.subject(now, who, limits.subjects_max) else {
            return refused(CONNECTIONS_RETRY);
        };
        if limits.subject_sessions_max > 0 && known.sessions >= limits.subject_sessions_max {
            return refused(CONNECTIONS_RETRY);
        }
        let rate = (limits.subject_joins_per_s, limits.subject_joins_burst);
        if let Err(wait) = known.joins.try_take(now, 1, rate) {
            return refused(wait);
        }
        known.sessions += 1;
        Ok(SubjectPlace { admission: self.clone(), who })
    }

    /// When to come back for who found a shard's queue full.
    pub(crate) fn turn(&self, now: Time, wish: Wish) -> Refused {
        let mut counts = self.lock();
        let (gate, per_s) = match wish {
            Wish::Join | Wish::Renew => (&mut counts.joins, self.limits.joins_per_s),
            Wish::Resume => (&mut counts.resumes, self.limits.resumes_per_s),
        };
        Refused { code: ErrorCode::Busy, retry_after: gate.next_turn(now, per_s) }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics while it is locked; if it did, the counts would be as good as they were.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// What is known of a source; nothing if there are too many others.
    fn source(&mut self, now: Time, source: IpAddr, most: usize) -> Option<&mut Source> {
        if !self.sources.contains_key(&source) && self.sources.len() >= most {
            self.sources.retain(|_, known| !known.is_idle(now));
            if self.sources.len() >= most {
                return None;
            }
        }
        Some(self.sources.entry(source).or_default())
    }

    /// What is known of a subject; nothing if there are too many others.
    fn subject(&mut self, now: Time, who: Who, most: usize) -> Option<&mut Subject> {
        if !self.subjects.contains_key(&who) && self.subjects.len() >= most {
            self.subjects.retain(|_, known| known.sessions > 0 || !known.joins.is_full(now));
            if self.subjects.len() >= most {
                return None;
            }
        }
        Some(self.subjects.entry(who).or_default())
    }
}

impl Source {
    /// Whether it is as if it had never been there.
    fn is_idle(&self, now: Time) -> bool {
        let has_places = self.connections > 0 || self.tickets > 0;
        !has_places && self.joins.is_full(now) && self.requests.is_full(now)
    }

    fn places(&mut self, of: What) -> &mut usize {
        match of {
            What::Connection => &mut self.connections,
            What::Ticket => &mut self.tickets,
        }
    }
}

impl Gate {
    fn pass(&mut self, now: Time, rate: (u64, u64)) -> Result<(), Duration> {
        match self.bucket.try_take(now, 1, rate) {
            Ok(()) => Ok(()),
            Err(wait) => Err(wait.max(self.next_turn(now, rate.0))),
        }
    }

    fn next_turn(&mut self, now: Time, per_s: u64) -> Duration {
        let step = Duration::from_secs(1) / u32::try_from(per_s.max(1)).unwrap_or(u32::MAX);
        self.last_turn = (self.last_turn.max(now) + step).min(now + RETRY_MAX);
        self.last_turn.since(now)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        if let Some(known) = counts.sources.get_mut(&self.source) {
            *known.places(self.of) -= 1;
        }
    }
}

impl Drop for SubjectPlace {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        if let Some(known) = counts.subjects.get_mut(&self.who) {
            known.sessions -= 1;
        }
    }
}

/// What counts as one source: an IPv4 address, or an IPv6 /64, which one customer has.
pub(crate) fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    fn at(ms: u64) -> Time {
        Time::after_start(Duration::from_millis(ms))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admission(limits: AdmissionLimits) -> Arc<Admission> {
        Arc::new(Admission::new(limits))
    }

    #[test]
    fn an_address_has_so_many_connections_and_gets_them_back() {
        let limits = AdmissionLimits { address_connections_max: 2, ..AdmissionLimits::default() };
        let admission = admission(limits);
        let one = admission.connect(at(0), ip("192.0.2.1")).unwrap();
        let _two = admission.connect(at(0), ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(
            admission.connect(at(0), ip("192.0.2.1")).unwrap_err().code,
            ErrorCode::RateLimited
        );
        let _other = admission.connect(at(0), ip("192.0.2.2")).unwrap();
        drop(one);
        assert!(admission.connect(at(0), ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn an_ipv6_customer_is_one_source() {
        let limits = AdmissionLimits { address_connections_max: 1, ..AdmissionLimits::default() };
        let admission = admission(limits);
        let _one = admission.connect(at(0), ip("2001:db8:0:1::1")).unwrap();
        assert!(admission.connect(at(0), ip("2001:db8:0:1:ffff::2")).is_err());
        assert!(admission.connect(at(0), ip("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn the_refused_come_back_one_after_the_other() {
        let limits = AdmissionLimits {
            joins_per_s: 10,
            joins_burst: 1,
            address_joins_per_s: 0,
            ..AdmissionLimits::default()
        };
        let admission = admission(limits);
        let join = || admission.admit(at(0), ip("192.0.2.1"), Wish::Join);
        assert_eq!(join(), Ok(()));
        let waits: Vec<_> = (0..3).map(|_| join().unwrap_err().retry_after.as_millis()).collect();
        assert_eq!(waits, [100, 200, 300]);
        assert!(admission.admit(at(0), ip("192.0.2.1"), Wish::Resume).is_ok(), "has begun before");
        assert_eq!(admission.admit(at(100), ip("192.0.2.1"), Wish::Join), Ok(()));
        for _ in 0..10_000 {
            assert!(join().unwrap_err().retry_after <= RETRY_MAX);
        }
    }

    /// Ten times as many newcomers as may come at once, and all sessions of a server that lost its
    /// connections: each comes back when it is told to, and never sooner.
    #[test]
    fn a_tenfold_storm_of_joins_holds_up_no_session_and_all_get_in_when_told() {
        let limits = AdmissionLimits::default();
        let (sessions, newcomers) = (limits.resumes_burst, 10 * limits.joins_burst);
        let admission = admission(limits.clone());
        let address = |n: u64| IpAddr::from((n as u32).to_be_bytes());
        let mut waiting: BinaryHeap<_> = (0..newcomers).map(|n| Reverse((at(0), n, 1))).collect();
        let (mut tries_max, mut last, mut in_second) = (0, at(0), HashMap::new());
        let mut resumed = 0;
        while let Some(Reverse((now, n, tries))) = waiting.pop() {
            // With each of the first newcomers comes somebody who was there before.
            if resumed < sessions {
                assert_eq!(admission.admit(now, address(n), Wish::Resume), Ok(()));
                resumed += 1;
            }
            match admission.admit(now, address(n), Wish::Join) {
                Ok(()) => {
                    (tries_max, last) = (tries_max.max(tries), now);
                    *in_second.entry(now.since(at(0)).as_secs()).or_default() += 1;
                }
                Err(Refused { retry_after, .. }) => {
                    assert!(!retry_after.is_zero() && retry_after <= RETRY_MAX);
                    waiting.push(Reverse((now + retry_after, n, tries + 1)));
                }
            }
        }
        assert_eq!(in_second.values().sum::<u64>(), newcomers, "all are in");
        in_second.remove(&0);
        let most = in_second.into_values().max();
        assert!(most <= Some(limits.joins_per_s + 1), "no second wave: {most:?} in a second");
        let shortest = (newcomers - limits.joins_burst) / limits.joins_per_s;
        let took = last.since(at(0)).as_secs();
        assert!((shortest..=shortest + 1).contains(&took), "{took} s instead of {shortest}");
        assert!(tries_max <= 2, "somebody came {tries_max} times");
    }

    #[test]
    fn one_address_does_not_use_up_the_rate_of_all() {
        let limits = AdmissionLimits {
            address_joins_per_s: 1,
            address_joins_burst: 2,
            ..AdmissionLimits::default()
        };
        let admission = admission(limits);
        let join = |from: &str| admission.admit(at(0), ip(from), Wish::Join);
        assert!(join("192.0.2.1").is_ok() && join("192.0.2.1").is_ok());
        assert_eq!(join("192.0.2.1").unwrap_err().code, ErrorCode::RateLimited);
        assert!(join("192.0.2.2").is_ok());
    }

    fn who(name: &str) -> Who {
        Who::of(Some(name), None).unwrap()
    }

    #[test]
    fn a_subject_has_so_many_sessions_and_joins_at_its_rate() {
        let limits = AdmissionLimits {
            subject_sessions_max: 2,
            subject_joins_per_s: 1,
            subject_joins_burst: 3,
            ..AdmissionLimits::default()
        };
        let admission = admission(limits);
        let join = |ms: u64, name: &str| admission.join_as(at(ms), who(name));
        let one = join(0, "ada").unwrap();
        let two = join(0, "ada").unwrap();
        let refused = Refused { code: ErrorCode::RateLimited, retry_after: CONNECTIONS_RETRY };
        assert_eq!(join(0, "ada").unwrap_err(), refused);
        assert!(join(0, "bob").is_ok());
        drop(one);
        let three = join(0, "ada").unwrap();
        drop((two, three));
        assert_eq!(join(0, "ada").unwrap_err().retry_after, Duration::from_secs(1));
        assert!(join(1000, "ada").is_ok());
    }

    #[test]
    fn what_is_known_of_subjects_is_bounded_and_idle_ones_make_room() {
        let limits = AdmissionLimits { subjects_max: 2, ..AdmissionLimits::default() };
        let admission = admission(limits);
        let join = |ms: u64, name: &str| admission.join_as(at(ms), who(name));
        let _ada = join(0, "ada").unwrap();
        drop(join(0, "bob").unwrap());
        assert!(join(0, "carol").is_err(), "bob has just been here");
        assert!(join(0, "ada").is_ok());
        assert!(join(1000, "carol").is_ok());
        assert!(admission.lock().subjects.len() <= 2);
    }

    #[test]
    fn a_newer_token_counts_as_a_join_of_its_address_but_not_of_all() {
        let limits = AdmissionLimits {
            address_joins_per_s: 1,
            address_joins_burst: 2,
            joins_per_s: 1,
            joins_burst: 1,
            ..AdmissionLimits::default()
        };
        let admission = admission(limits);
        let renew = |from: &str| admission.admit(at(0), ip(from), Wish::Renew);
        assert!(renew("192.0.2.1").is_ok() && renew("192.0.2.1").is_ok());
        assert_eq!(renew("192.0.2.1").unwrap_err().code, ErrorCode::RateLimited);
        assert!(admission.admit(at(0), ip("192.0.2.2"), Wish::Join).is_ok());
    }

    #[test]
    fn what_is_known_of_addresses_is_bounded_and_idle_ones_make_room() {
        let limits = AdmissionLimits { addresses_max: 100, ..AdmissionLimits::default() };
        let admission = admission(limits);
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..100 {
            assert!(admission.request(at(0), address(n)).is_ok());
        }
        assert!(admission.request(at(0), address(1000)).is_err(), "all are busy");
        assert!(admission.request(at(0), address(5)).is_ok());
        for n in 2000..3000 {
            assert!(admission.request(at(10_000 * u64::from(n)), address(n)).is_ok());
        }
        assert!(admission.lock().sources.len() <= 100);
    }
}
