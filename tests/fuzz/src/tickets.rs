//! Matchmaking: whatever is posted, asked and taken back, in whatever order, limits hold, matches
//! are what their tickets want, and in the end nothing is left.

use crate::input::Input;
use heliograph_base::Time;
use signal_core::matchmaking::{Status, Ticket, TicketId, TicketOffice};
use signal_core::{MatchLimits, SessionKey};
use std::collections::BTreeMap;
use std::time::Duration;

/// Reads the input as a ticket, then as a program of tickets, owners and time.
///
/// # Panics
/// If the office breaks a promise.
pub fn tickets(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes) {
        read(text);
    }
    let mut input = Input::new(bytes);
    let mut watch = Watch::new();
    while !input.is_empty() {
        watch.step(&mut input);
        watch.check();
    }
    watch.end();
}

/// What can be read keeps to the limits, and only ever accepts more.
fn read(text: &str) {
    let limits = MatchLimits::default();
    let Ok(ticket) = Ticket::parse(text, &limits) else { return };
    let size = ticket.size;
    assert!(2 <= size.least && size.least <= size.most && size.most <= limits.players_max);
    assert!((1..=size.most).contains(&ticket.party));
    assert!(ticket.query.len() <= limits.conditions_max);
    assert!(ticket.properties.len() <= limits.properties_max);
    assert!(ticket.fill.max(ticket.timeout) <= limits.timeout_max);
    let mut waited = Duration::ZERO;
    let mut accepts = ticket.accepts(waited, &ticket);
    while let Some(next) = ticket.relaxes_at(waited).filter(|next| *next <= limits.timeout_max) {
        assert!(next > waited, "time goes on");
        waited = next;
        let later = ticket.accepts(waited, &ticket);
        assert!(later || !accepts, "who was accepted still is");
        accepts = later;
    }
}

/// An office and what was seen of it.
struct Watch {
    limits: MatchLimits,
    office: TicketOffice,
    now: Time,
    posted: Vec<Posted>,
    /// Places in `posted` of those who wait, as far as was told.
    waiting: BTreeMap<TicketId, usize>,
}

/// A ticket that was posted.
struct Posted {
    id: TicketId,
    key: SessionKey,
    ticket: Ticket,
    since: Time,
}

impl Watch {
    fn new() -> Self {
        let limits = MatchLimits {
            tickets_max: 12,
            outcomes_max: 8,
            search_steps_max: 60,
            comparisons_per_turn: 20,
            ..MatchLimits::default()
        };
        let office = TicketOffice::new(limits.clone(), [7; 32]);
        let (posted, waiting) = (Vec::new(), BTreeMap::new());
        Self { limits, office, now: Time::START, posted, waiting }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 8 {
            0..4 => self.post(input),
            4 => self.pass(Duration::from_millis(10 * u64::from(input.word() % 2048))),
            _ => self.ask(input),
        }
        self.observe();
    }

    fn post(&mut self, input: &mut Input<'_>) {
        let text = ticket(input, self.posted.len());
        let ticket = match Ticket::parse(&text, &self.limits) {
            Ok(ticket) => ticket,
            Err(bad) => panic!("{text}: {bad}"),
        };
        let is_full = self.waiting.len() >= self.limits.tickets_max;
        let posted = self.office.handle_post(self.now, ticket.clone());
        assert_eq!(posted.is_err(), is_full);
        let Ok(posted) = posted else { return };
        self.waiting.insert(posted.id, self.posted.len());
        let (id, key, since) = (posted.id, posted.key, self.now);
        self.posted.push(Posted { id, key, ticket, since });
    }

    /// Somebody looks, stays, goes or cancels, or tries to.
    fn ask(&mut self, input: &mut Input<'_>) {
        let (which, kind) = (usize::from(input.byte()), input.byte());
        let Some(place) = which.checked_rem(self.posted.len()) else { return };
        let Posted { id, key, .. } = self.posted[place];
        let is_wrong = kind.is_multiple_of(8);
        let key = if is_wrong { SessionKey::from_random([kind; 16]) } else { key };
        let before = is_wrong.then(|| format!("{:?}", self.office));
        let did_wait = self.waiting.contains_key(&id);
        let status = match kind / 8 % 4 {
            0 => self.office.handle_look(self.now, id, &key),
            1 => self.office.handle_watch(self.now, id, &key),
            2 => self.office.handle_cancel(self.now, id, &key),
            _ => return self.office.handle_unwatch(self.now, id),
        };
        if let Some(before) = before {
            assert!(status.is_none() && before == format!("{:?}", self.office), "a wrong key");
            return;
        }
        let is_cancel = kind / 8 % 4 == 2;
        match status {
            Some(Status::Waiting { .. }) => assert!(did_wait && !is_cancel),
            Some(Status::Cancelled) => assert!(is_cancel || !did_wait),
            Some(Status::Matched { .. } | Status::Expired) | None => assert!(!did_wait),
        }
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.office.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.office.handle_timeout(self.now);
            self.observe();
        }
        self.now = end;
    }

    /// Looks at all that ended.
    fn observe(&mut self) {
        let mut matches: BTreeMap<String, Vec<(usize, u32, Vec<u32>)>> = BTreeMap::new();
        while let Some((id, status)) = self.office.poll_change() {
            let place = self.waiting.remove(&id).expect("only who waits ends, and once");
            match status {
                Status::Waiting { .. } => panic!("that is no end"),
                Status::Matched { room, players, seats } => {
                    matches.entry(room.to_string()).or_default().push((place, players, seats));
                }
                Status::Expired => {
                    let Posted { ticket, since, .. } = &self.posted[place];
                    assert!(self.now.since(*since) >= ticket.timeout);
                }
                Status::Cancelled => {}
            }
        }
        for (room, group) in &matches {
            self.check_match(room, group);
        }
    }

    fn check_match(&self, room: &str, group: &[(usize, u32, Vec<u32>)]) {
        let players = group[0].1;
        let mut seats: Vec<u32> = Vec::new();
        for (place, others, own) in group {
            let Posted { ticket, since, .. } = &self.posted[*place];
            assert_eq!((*others, own.len()), (players, ticket.party as usize));
            assert!(ticket.room.as_ref().is_none_or(|own| own.as_str() == room));
            assert!(ticket.room.is_none() || group.len() > 1, "somebody comes");
            assert!((ticket.size.least..=ticket.size.most).contains(&players));
            let others = group.iter().filter(|(other, ..)| other != place);
            for (other, ..) in others {
                let other = &self.posted[*other].ticket;
                assert!(ticket.queue == other.queue);
                assert!(ticket.accepts(self.now.since(*since), other));
            }
            seats.extend(own);
        }
        seats.sort_unstable();
        assert_eq!(seats, (0..players).collect::<Vec<u32>>(), "each seat once");
    }

    fn check(&self) {
        let counts = self.office.counts();
        assert_eq!(counts.matchmaker.waiting, self.waiting.len() as u64);
        assert!(self.waiting.len() <= self.limits.tickets_max);
        assert!(counts.kept <= self.limits.outcomes_max as u64);
        assert!(counts.watched <= counts.matchmaker.waiting);
    }

    /// Everybody waits until the end; nothing is left.
    fn end(&mut self) {
        self.pass(self.limits.timeout_max + self.limits.outcome_kept);
        self.check();
        assert!(self.office.is_empty() && self.office.poll_timeout().is_none());
    }
}

/// A ticket as a client would write it, of players who have this room if they have one.
fn ticket(input: &mut Input<'_>, room: usize) -> String {
    let (size, what, times) = (input.byte(), input.byte(), input.byte());
    let (least, more, party) = (2 + size % 4, size / 4 % 3, 1 + size / 16 % 2);
    let (party, room) = match size / 64 {
        3 => (1, format!(r#","room":"r{room}""#)),
        _ => (party, String::new()),
    };
    let (region, rank) = (what % 3, what / 3 % 16);
    let mut query = Vec::new();
    for _ in 0..times % 3 {
        let (kind, after, by) = (input.byte(), input.byte(), input.byte());
        let relax = match (kind / 4 % 4, kind % 4) {
            (0, _) => String::new(),
            (1, _) | (_, 0 | 1) => format!(r#","relax":{{"after_s":{}}}"#, after % 16),
            (2, _) => format!(r#","relax":{{"after_s":{},"by":{}}}"#, after % 16, by % 4),
            _ => format!(
                r#","relax":{{"after_s":{},"by":{},"to":{}}}"#,
                after % 16,
                by % 4,
                kind / 16 + by / 16
            ),
        };
        query.push(match kind % 4 {
            0 => format!(r#"{{"property":"region","equals":"{}"{relax}}}"#, kind / 16 % 3),
            1 => format!(r#"{{"property":"region","one_of":["{}",1,"2"]{relax}}}"#, kind / 16 % 3),
            _ => format!(r#"{{"property":"rank","within":{}{relax}}}"#, kind / 16),
        });
    }
    format!(
        r#"{{"queue":"q{}","size":{{"min":{least},"max":{}}},"party":{party}{room},"query":[{}],
            "properties":{{"region":"{region}","rank":{rank}}},"fill_s":{},"timeout_s":{}}}"#,
        what / 128,
        least + more,
        query.join(","),
        times / 3 % 8,
        1 + u16::from(times / 24) * 20,
    )
}
