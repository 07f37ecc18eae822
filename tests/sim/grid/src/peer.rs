//! A peer of str0m with host, server reflexive and relayed candidates, the last two by our relay.

use crate::world::{RELAY, RELAY_V6};
use heliograph_base::Time;
use heliograph_sim::grid::Candidate as Reach;
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
    /// Where the relay is for it.
    relay: SocketAddr,
    /// The other one, and whether the offer is ours to make.
    pub(crate) other: Option<(PeerId, bool)>,
    /// A description for the other one.
    pub(crate) description: Option<String>,
    /// Whether a message of the other one came.
    pub(crate) is_greeted: bool,
    /// How the last data went: by this one's relay or not, and to which address of the other one.
    pub(crate) path: Option<(bool, Reach)>,
    /// Whether it has given up to connect.
    pub(crate) has_failed: bool,
    /// The other one's own addresses.
    others: Vec<SocketAddr>,
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

struct Gathered {
    /// Answers of the relay that are still to come, and there may be none.
    missing: u8,
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
            relay: if local.is_ipv4() { RELAY } else { RELAY_V6 },
            other: None,
            description: None,
            is_greeted: false,
            path: None,
            has_failed: false,
            others: Vec::new(),
            rtc: Rtc::new(clock.instant(Time::START)),
            turn: TurnClient::new(login, true, dice),
            clock,
            gathered: Gathered { missing: 2, relayed: None },
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

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let due = (!self.has_failed).then_some(self.due);
        [self.turn.poll_timeout(), due].into_iter().flatten().min()
    }

    /// What it sends: where to, and what.
    pub(crate) fn poll_datagrams(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let relay = std::iter::from_fn(|| self.turn.poll_transmit());
        self.datagrams.extend(relay.map(|bytes| (self.relay, bytes)));
        std::mem::take(&mut self.datagrams)
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if self.turn.poll_timeout().is_some_and(|due| due <= now) {
            self.turn.handle_timeout(now);
        }
        if self.due <= now && !self.has_failed {
            self.input(Input::Timeout(self.clock.instant(now)));
        }
        self.settle(now);
    }

    pub(crate) fn handle_datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        if from == self.relay {
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
                    self.gathered.missing -= 1;
                    if mapped != self.local {
                        self.add(Candidate::server_reflexive(mapped, self.local, "udp"));
                    }
                }
                TurnEvent::Allocated { relayed, .. } => {
                    self.gathered.missing -= 1;
                    self.gathered.relayed = Some(relayed);
                    self.add(Candidate::relayed(relayed, self.local, "udp"));
                }
                TurnEvent::Data { peer, bytes } => {
                    let relayed = self.gathered.relayed.expect("data come by the relay");
                    self.receive(now, (peer, relayed), &bytes);
                }
                // No UDP gets out.
                TurnEvent::Refused(Ask::Binding | Ask::Allocate(_), None) => {
                    self.gathered.missing -= 1;
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
        if self.gathered.missing > 0 {
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
        for (candidate, kind) in candidates(&sdp) {
            // Relayed addresses are of IPv4.
            if self.gathered.relayed.is_some() && candidate.is_ipv4() {
                self.turn.ask(now, Ask::Permit(vec![candidate]));
            }
            if kind == "host" {
                self.others.push(candidate);
            }
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
        while !self.has_failed {
            let Ok(output) = self.rtc.poll_output() else {
                self.has_failed = true;
                return;
            };
            match output {
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
            self.path = Some((by_relay, self.reach(*destination)));
        }
        if by_relay {
            self.turn.send(*destination, contents);
        } else {
            self.datagrams.push((*destination, contents.to_vec()));
        }
    }

    /// What an address is to the other one.
    fn reach(&self, address: SocketAddr) -> Reach {
        if address.ip() == RELAY.ip() {
            Reach::Relay
        } else if self.others.contains(&address) {
            Reach::Host
        } else {
            Reach::Reflexive
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
            self.input(input);
            self.drain();
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.has_failed |= self.rtc.handle_input(input).is_err();
    }

    fn add(&mut self, candidate: Result<Candidate, str0m::error::IceError>) {
        self.rtc.add_local_candidate(candidate.expect("an address"));
        self.drain();
    }
}

/// The addresses in a description, and their types.
fn candidates(sdp: &str) -> Vec<(SocketAddr, String)> {
    let lines = sdp.lines().filter(|line| line.starts_with("a=candidate:"));
    let candidate = |line: &str| {
        let words: Vec<_> = line.split(' ').skip(4).take(4).collect();
        let &[ip, port, "typ", kind] = &words[..] else { return None };
        Some((SocketAddr::new(ip.parse().ok()?, port.parse().ok()?), kind.to_owned()))
    };
    lines.filter_map(candidate).collect()
}
