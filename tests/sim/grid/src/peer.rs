//! A peer of str0m with host, server reflexive and relayed candidates, the last two by our relay.

use crate::world::RELAY;
use heliograph_base::Time;
use heliograph_sim::relay::{Ask, Login, TurnClient, TurnEvent};
use heliograph_sim::{Dice, HostId};
use signal_core::PeerId;
use std::net::SocketAddr;
use std::time::Instant;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Candidate, Event, Input, Output, Rtc};

pub(crate) struct Peer {
    pub(crate) host: HostId,
    pub(crate) local: SocketAddr,
    /// The other one, and whether the offer is ours to make.
    pub(crate) other: Option<(PeerId, bool)>,
    /// A description for the other one.
    pub(crate) description: Option<String>,
    /// Whether a message of the other one came.
    pub(crate) is_greeted: bool,
    /// Whether the last data went through a relay.
    pub(crate) is_relayed: bool,
    rtc: Rtc,
    turn: TurnClient,
    clock: Clock,
    gathered: Gathered,
    pending: Option<SdpPendingOffer>,
    /// A description of the other one that came while still gathering.
    early: Option<String>,
    has_begun: bool,
    channel: Option<ChannelId>,
    due: Time,
    datagrams: Vec<(SocketAddr, Vec<u8>)>,
}

#[derive(Default)]
struct Gathered {
    mapped: bool,
    relayed: Option<SocketAddr>,
}

/// What str0m calls the time: only differences matter to it.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "there is no other way to an Instant")]
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    fn instant(self, time: Time) -> Instant {
        self.start + time.since_start()
    }

    fn time(self, instant: Instant) -> Time {
        Time::after_start(instant.saturating_duration_since(self.start))
    }
}

impl Peer {
    pub(crate) fn new(host: HostId, local: SocketAddr, clock: Clock, dice: Dice) -> Self {
        let login = Login { user: "ada".into(), password: "secret".into() };
        let mut peer = Self {
            host,
            local,
            other: None,
            description: None,
            is_greeted: false,
            is_relayed: false,
            rtc: Rtc::new(clock.instant(Time::START)),
            turn: TurnClient::new(login, true, dice),
            clock,
            gathered: Gathered::default(),
            pending: None,
            early: None,
            has_begun: false,
            channel: None,
            due: Time::START,
            datagrams: Vec::new(),
        };
        peer.turn.ask(Time::START, Ask::Binding);
        peer.turn.ask(Time::START, Ask::Allocate(None));
        peer.add(Candidate::host(local, "udp"));
        peer
    }

    pub(crate) fn poll_timeout(&self) -> Time {
        self.turn.poll_timeout().map_or(self.due, |due| due.min(self.due))
    }

    /// What it sends: where to, and what.
    pub(crate) fn poll_datagrams(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let relay = std::iter::from_fn(|| self.turn.poll_transmit());
        self.datagrams.extend(relay.map(|bytes| (RELAY, bytes)));
        std::mem::take(&mut self.datagrams)
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if self.turn.poll_timeout().is_some_and(|due| due <= now) {
            self.turn.handle_timeout(now);
        }
        if self.due <= now {
            self.rtc.handle_input(Input::Timeout(self.clock.instant(now))).expect("it goes on");
        }
        self.settle(now);
    }

    pub(crate) fn handle_datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        if from == RELAY {
            self.turn.handle(now, bytes);
        } else {
            self.receive(now, (from, self.local), bytes);
        }
        self.settle(now);
    }

    pub(crate) fn handle_description(&mut self, now: Time, sdp: String) {
        self.early = Some(sdp);
        self.settle(now);
    }

    /// Says something to the other one, if they are connected.
    pub(crate) fn greet(&mut self, now: Time) {
        if let Some(mut channel) = self.channel.and_then(|id| self.rtc.channel(id)) {
            assert!(channel.write(false, b"hello").expect("it is open"));
        }
        self.settle(now);
    }

    /// Takes all that its parts have to tell.
    fn settle(&mut self, now: Time) {
        while let Some(event) = self.turn.poll_event() {
            match event {
                TurnEvent::Mapped(mapped) => {
                    self.gathered.mapped = true;
                    if mapped != self.local {
                        self.add(Candidate::server_reflexive(mapped, self.local, "udp"));
                    }
                }
                TurnEvent::Allocated { relayed, .. } => {
                    self.gathered.relayed = Some(relayed);
                    self.add(Candidate::relayed(relayed, self.local, "udp"));
                }
                TurnEvent::Data { peer, bytes } => {
                    let relayed = self.gathered.relayed.expect("data come by the relay");
                    self.receive(now, (peer, relayed), &bytes);
                }
                // A private address of the other one, which no relay sends to.
                TurnEvent::Refused(Ask::Permit(_), Some(403)) | TurnEvent::Done(_) => {}
                TurnEvent::Refused(..) | TurnEvent::Lost => panic!("{event:?}"),
            }
        }
        self.negotiate(now);
        self.drain();
    }

    fn negotiate(&mut self, now: Time) {
        let Some((_, offers)) = self.other else { return };
        if !self.gathered.mapped || self.gathered.relayed.is_none() {
            return;
        }
        if offers && !self.has_begun {
            self.has_begun = true;
            let mut change = self.rtc.sdp_api();
            change.add_channel("meeting".into());
            let (offer, pending) = change.apply().expect("a channel is added");
            self.pending = Some(pending);
            self.description = Some(offer.to_sdp_string());
            self.drain();
        }
        let Some(sdp) = self.early.take() else { return };
        for candidate in candidates(&sdp) {
            self.turn.ask(now, Ask::Permit(vec![candidate]));
        }
        match self.pending.take() {
            Some(pending) => {
                let answer = SdpAnswer::from_sdp_string(&sdp).expect("an answer");
                self.rtc.sdp_api().accept_answer(pending, answer).expect("it fits");
            }
            None => {
                let offer = SdpOffer::from_sdp_string(&sdp).expect("an offer");
                let answer = self.rtc.sdp_api().accept_offer(offer).expect("it fits");
                self.description = Some(answer.to_sdp_string());
            }
        }
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().expect("it goes on") {
                Output::Timeout(at) => return self.due = self.clock.time(at),
                Output::Transmit(transmit) => self.transmit(&transmit),
                Output::Event(Event::ChannelOpen(channel, _)) => self.channel = Some(channel),
                Output::Event(Event::ChannelData(data)) => self.is_greeted |= data.data == b"hello",
                Output::Event(_) => {}
            }
        }
    }

    fn transmit(&mut self, transmit: &Transmit) {
        let Transmit { source, destination, contents, .. } = transmit;
        let by_relay = Some(*source) == self.gathered.relayed;
        // RFC 7983: what is no STUN is the data, by the path that was chosen.
        if contents.first().is_some_and(|first| *first > 3) {
            self.is_relayed = by_relay || destination.ip() == RELAY.ip();
        }
        if by_relay {
            self.turn.send(*destination, contents);
        } else {
            self.datagrams.push((*destination, contents.to_vec()));
        }
    }

    fn receive(
        &mut self,
        now: Time,
        (source, destination): (SocketAddr, SocketAddr),
        bytes: &[u8],
    ) {
        let Ok(contents) = bytes.try_into() else { return };
        let receive = Receive { proto: Protocol::Udp, source, destination, contents };
        let input = Input::Receive(self.clock.instant(now), receive);
        if self.rtc.accepts(&input) {
            self.rtc.handle_input(input).expect("it goes on");
            self.drain();
        }
    }

    fn add(&mut self, candidate: Result<Candidate, str0m::error::IceError>) {
        self.rtc.add_local_candidate(candidate.expect("an address"));
        self.drain();
    }
}

/// The addresses in a description.
fn candidates(sdp: &str) -> Vec<SocketAddr> {
    let lines = sdp.lines().filter(|line| line.starts_with("a=candidate:"));
    let address = |line: &str| {
        let mut words = line.split(' ').skip(4);
        Some(SocketAddr::new(words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    lines.filter_map(address).collect()
}
