//! The named channels of a link, without IO: which there are, under which numbers, and what both
//! sides must tell each other to agree on it (docs/protocol.md).

use super::control::Control;
use crate::Channel;
use crate::config::{CHANNELS_MAX, LABEL_BYTES_MAX};
use std::collections::BTreeMap;

/// The first number of each side.
const EVEN: u16 = 4;
const ODD: u16 = 5;

/// Numbers from here on are beyond what browsers take.
const ID_END: u16 = 1024;

/// One thing to do, in the order given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Tell the other side.
    Say(Control),
    /// Make this end of a channel.
    Make(u16, Channel),
    /// Take this end away.
    Remove(u16),
    /// Messages get through from now on.
    Open(Channel),
    /// The channel is over for good.
    End(Channel),
    /// Tell the program that the other side has opened it.
    Announce(Channel),
}

/// The named channels of one connection.
#[derive(Debug)]
pub(super) struct Channels {
    /// Whether this side's numbers are the even ones.
    is_even: bool,
    /// This side's last number.
    last: Option<u16>,
    entries: BTreeMap<u16, Entry>,
}

#[derive(Debug)]
struct Entry {
    channel: Channel,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The other side was asked to make its end.
    Asked,
    /// The same, but the program wants it no more.
    Cancelled,
    Open,
    /// The other side was asked to close its end; ours is gone.
    Closing,
    /// The other side closes it: what it sent before may still come.
    Draining,
    /// The connection has closed it, faster than what the other side says of it.
    Reset,
}

impl Channels {
    pub(super) fn new(is_even: bool) -> Self {
        Self { is_even, last: None, entries: BTreeMap::new() }
    }

    /// Whether this is one of them already.
    pub(super) fn has(&self, channel: &Channel) -> bool {
        self.entries.values().any(|entry| entry.channel == *channel)
    }

    /// Whether one of this label is still there for the other side, which would refuse another.
    pub(super) fn holds(&self, label: &str) -> bool {
        self.entries.values().any(|entry| {
            let is_there = matches!(entry.phase, Phase::Asked | Phase::Cancelled | Phase::Open);
            is_there && entry.channel.label() == label
        })
    }

    /// The program wants a channel, and [none of its label](Self::holds) is there.
    pub(super) fn open(&mut self, channel: &Channel) -> Vec<Step> {
        let Some(id) = self.free() else {
            tracing::warn!("a channel isn't opened: a link has at most {CHANNELS_MAX}");
            return vec![Step::End(channel.clone())];
        };
        self.last = Some(id);
        self.entries.insert(id, Entry { channel: channel.clone(), phase: Phase::Asked });
        let (label, options) = (channel.label().to_owned(), channel.options());
        let open = Control::Open { id, label, options };
        vec![Step::Make(id, channel.clone()), Step::Say(open)]
    }

    /// The program closes a channel, and all that it sent is on its way.
    pub(super) fn close(&mut self, channel: &Channel) -> Vec<Step> {
        let mut entries = self.entries.iter_mut();
        let Some((&id, entry)) = entries.find(|(_, entry)| entry.channel == *channel) else {
            return vec![Step::End(channel.clone())];
        };
        match entry.phase {
            Phase::Asked => {
                entry.phase = Phase::Cancelled;
                vec![Step::End(channel.clone())]
            }
            Phase::Open => {
                entry.phase = Phase::Closing;
                vec![Step::Remove(id), Step::End(channel.clone()), Step::Say(Control::Close(id))]
            }
            // It is done, or the other side was faster.
            Phase::Cancelled | Phase::Closing | Phase::Draining | Phase::Reset => Vec::new(),
        }
    }

    /// This end of a channel was closed by the connection.
    pub(super) fn handle_closed(&mut self, id: u16) -> Vec<Step> {
        let Some(entry) = self.entries.get_mut(&id) else { return Vec::new() };
        match entry.phase {
            Phase::Asked | Phase::Cancelled | Phase::Open => {
                entry.phase = Phase::Reset;
                vec![Step::Remove(id), Step::End(entry.channel.clone())]
            }
            Phase::Draining => {
                let mut steps = self.remove(id);
                steps.push(Step::Say(Control::Closed(id)));
                steps
            }
            // The other side will answer.
            Phase::Closing | Phase::Reset => Vec::new(),
        }
    }

    /// The other side said something about a channel. `known` is what the program wants to have
    /// under a label.
    pub(super) fn handle(
        &mut self,
        control: Control,
        known: impl FnOnce(&str) -> Option<Channel>,
    ) -> Vec<Step> {
        match control {
            Control::Open { id, label, options } => {
                if let Some(why) = self.objection(id, &label) {
                    return vec![Step::Say(Control::Refused(id, why.to_owned()))];
                }
                // One of our own is under way, with an odd number: theirs wins.
                let is_same =
                    |entry: &Entry| entry.phase == Phase::Asked && entry.channel.label() == label;
                let ours = self.entries.iter().find(|(_, entry)| is_same(entry));
                let ours = ours.map(|(id, _)| *id);
                let mut steps: Vec<Step> = ours.into_iter().map(Step::Remove).collect();
                self.entries.retain(|id, _| Some(*id) != ours);
                // One that is just being closed is not this one.
                let known = known(&label).filter(|channel| !self.has(channel));
                let is_new = known.is_none();
                let channel = known.unwrap_or_else(|| Channel::new(&label, options));
                channel.set_options(options);
                self.entries.insert(id, Entry { channel: channel.clone(), phase: Phase::Open });
                steps.push(Step::Make(id, channel.clone()));
                steps.push(Step::Say(Control::Opened(id)));
                steps.push(Step::Open(channel.clone()));
                if is_new {
                    steps.push(Step::Announce(channel));
                }
                steps
            }
            Control::Opened(id) => match self.entries.get_mut(&id) {
                Some(entry) if entry.phase == Phase::Asked => {
                    entry.phase = Phase::Open;
                    vec![Step::Open(entry.channel.clone())]
                }
                Some(entry) if entry.phase == Phase::Cancelled => {
                    entry.phase = Phase::Closing;
                    vec![Step::Remove(id), Step::Say(Control::Close(id))]
                }
                Some(_) | None => Vec::new(),
            },
            Control::Refused(id, text) => match self.entries.get(&id).map(|entry| entry.phase) {
                Some(Phase::Asked | Phase::Cancelled) => {
                    tracing::debug!(text, "the other side refuses a channel");
                    self.remove(id)
                }
                Some(Phase::Reset) => {
                    self.entries.remove(&id);
                    Vec::new()
                }
                Some(Phase::Open | Phase::Closing | Phase::Draining) | None => Vec::new(),
            },
            Control::Close(id) => match self.entries.get_mut(&id) {
                Some(entry) if !matches!(entry.phase, Phase::Closing | Phase::Reset) => {
                    entry.phase = Phase::Draining;
                    Vec::new()
                }
                // Both closed it at once, or the connection was faster.
                Some(_) | None => {
                    self.entries.retain(|it, entry| *it != id || entry.phase == Phase::Closing);
                    vec![Step::Say(Control::Closed(id))]
                }
            },
            Control::Closed(id) => {
                self.entries.remove(&id);
                Vec::new()
            }
            Control::Seat(_) => Vec::new(),
        }
    }

    /// Why the other side may not open this.
    fn objection(&self, id: u16, label: &str) -> Option<&'static str> {
        let is_theirs = (id % 2 == 1) == self.is_even;
        if !(EVEN..ID_END).contains(&id) || !is_theirs {
            Some("not a number of yours")
        } else if self.entries.contains_key(&id) {
            Some("the number is in use")
        } else if self.entries.len() >= CHANNELS_MAX {
            Some("too many channels")
        } else if label.len() > LABEL_BYTES_MAX {
            Some("the label is too long")
        } else {
            let same = |entry: &&Entry| entry.channel.label() == label;
            let mut phases = self.entries.values().filter(same).map(|entry| entry.phase);
            phases.find_map(|phase| match phase {
                Phase::Asked | Phase::Cancelled | Phase::Reset => self.is_even.then_some("twice"),
                Phase::Open => Some("there is one already"),
                Phase::Closing | Phase::Draining => None,
            })
        }
    }

    fn remove(&mut self, id: u16) -> Vec<Step> {
        let Some(entry) = self.entries.remove(&id) else { return Vec::new() };
        vec![Step::Remove(id), Step::End(entry.channel)]
    }

    /// This side's next number that is free: not soon one that was in use.
    fn free(&self) -> Option<u16> {
        if self.entries.len() >= CHANNELS_MAX {
            return None;
        }
        let first = if self.is_even { EVEN } else { ODD };
        let next = self.last.map_or(first, |last| last + 2);
        let mut ids = (next..ID_END).chain(first..next).step_by(2);
        ids.find(|id| id % 2 == first % 2 && !self.entries.contains_key(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChannelOptions;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// One side, its program and what is on the way to it.
    struct Side {
        channels: Channels,
        /// What the program has, by label.
        program: BTreeMap<String, Channel>,
        ends: BTreeMap<u16, Channel>,
        coming: VecDeque<Control>,
        /// Ends that the connection has closed, since the other side has.
        reset: VecDeque<u16>,
    }

    impl Side {
        fn new(is_even: bool) -> Self {
            Self {
                channels: Channels::new(is_even),
                program: BTreeMap::new(),
                ends: BTreeMap::new(),
                coming: VecDeque::new(),
                reset: VecDeque::new(),
            }
        }

        fn open(&mut self, label: &str, other: &mut Self) {
            if self.program.contains_key(label) {
                return;
            }
            let channel = Channel::new(label, ChannelOptions::LOSSY);
            self.program.insert(label.to_owned(), channel.clone());
            let steps = self.channels.open(&channel);
            self.obey(steps, other);
        }

        fn close(&mut self, label: &str, other: &mut Self) {
            let Some(channel) = self.program.get(label).cloned() else { return };
            let steps = self.channels.close(&channel);
            self.obey(steps, other);
        }

        fn receive(&mut self, other: &mut Self) {
            let Some(control) = self.coming.pop_front() else { return };
            let program = &self.program;
            let steps = self.channels.handle(control, |label| program.get(label).cloned());
            self.obey(steps, other);
        }

        fn notice(&mut self, other: &mut Self) {
            let Some(id) = self.reset.pop_front() else { return };
            let steps = self.channels.handle_closed(id);
            self.obey(steps, other);
        }

        fn obey(&mut self, steps: Vec<Step>, other: &mut Self) {
            for step in steps {
                match step {
                    Step::Say(control) => other.coming.push_back(control),
                    Step::Make(id, channel) => {
                        assert_eq!(self.ends.insert(id, channel), None, "{id} is in use");
                    }
                    Step::Remove(id) => {
                        assert!(self.ends.remove(&id).is_some(), "{id} isn't there");
                        if other.ends.contains_key(&id) {
                            other.reset.push_back(id);
                        }
                    }
                    Step::Open(channel) => channel.open(None),
                    Step::End(channel) => {
                        channel.shut(true);
                        if self.program.get(channel.label()) == Some(&channel) {
                            self.program.remove(channel.label());
                        }
                    }
                    Step::Announce(channel) => {
                        let before = self.program.insert(channel.label().to_owned(), channel);
                        assert!(before.is_none_or(|before| self.channels.has(&before)));
                    }
                }
            }
        }

        fn labels(&self) -> Vec<(u16, &str)> {
            self.ends.iter().map(|(id, channel)| (*id, channel.label())).collect()
        }
    }

    proptest! {
        /// Whatever both open and close at once, they agree in the end on which channels there are.
        #[test]
        fn both_sides_agree_on_their_channels(
            steps in proptest::collection::vec((0..8u8, 0..3usize), 0..60),
        ) {
            const LABELS: [&str; 3] = ["state", "files", "chat"];
            let (mut a, mut b) = (Side::new(true), Side::new(false));
            let rest = (4..8).map(|step| (step, 0)).cycle().take(800);
            for (step, label) in steps.into_iter().chain(rest) {
                match step {
                    0 => a.open(LABELS[label], &mut b),
                    1 => b.open(LABELS[label], &mut a),
                    2 => a.close(LABELS[label], &mut b),
                    3 => b.close(LABELS[label], &mut a),
                    4 => a.receive(&mut b),
                    5 => b.receive(&mut a),
                    6 => a.notice(&mut b),
                    _ => b.notice(&mut a),
                }
            }
            prop_assert_eq!(a.labels(), b.labels());
            for side in [&a, &b] {
                prop_assert_eq!(side.channels.entries.len(), side.ends.len());
                prop_assert_eq!(side.program.len(), side.ends.len());
                for channel in side.program.values() {
                    prop_assert_eq!(channel.state(), crate::ChannelState::Open);
                }
            }
        }
    }

    #[test]
    fn of_two_that_open_the_same_label_at_once_the_even_number_wins() {
        let (mut a, mut b) = (Side::new(true), Side::new(false));
        a.open("state", &mut b);
        b.open("state", &mut a);
        while !(a.coming.is_empty() && b.coming.is_empty()) {
            a.receive(&mut b);
            b.receive(&mut a);
        }
        assert_eq!([a.labels(), b.labels()], [[(4, "state")], [(4, "state")]]);
    }

    #[test]
    fn a_number_is_not_used_again_soon_and_not_too_many_are() {
        let (mut side, mut other) = (Side::new(false), Side::new(true));
        for n in 0..=CHANNELS_MAX {
            side.open(&n.to_string(), &mut other);
        }
        assert_eq!(side.ends.len(), CHANNELS_MAX);
        side.close("0", &mut other);
        side.coming.push_back(Control::Closed(5));
        side.receive(&mut other);
        side.open("again", &mut other);
        assert_eq!(side.ends.keys().last(), Some(&(5 + 2 * CHANNELS_MAX as u16)));
    }

    #[test]
    fn what_the_other_side_may_not_open_is_refused() {
        let mut side = Side::new(true);
        for (id, label) in [(3, "low"), (6, "ours"), (1025, "high"), (7, &*"x".repeat(1000))] {
            let (label, options) = (label.to_owned(), ChannelOptions::RELIABLE);
            let steps = side.channels.handle(Control::Open { id, label, options }, |_| None);
            assert!(matches!(&steps[..], [Step::Say(Control::Refused(_, _))]), "{id}: {steps:?}");
        }
    }
}
