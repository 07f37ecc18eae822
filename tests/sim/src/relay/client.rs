//! A TURN client without IO: asks, asks again, keeps what it has.

use super::stun::{self, Builder, Class, Key, Stun, Transaction};
use crate::Dice;
use heliograph_base::Time;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// RFC 8489 §6.2.1: the first pause, which doubles, and how often a request is sent.
const RTO: Duration = Duration::from_millis(500);
const SENT_MAX: u32 = 7;

/// A permission lasts 300 s, a channel 600 s; they are renewed this long before.
const MARGIN: Duration = Duration::from_secs(60);

/// So long a request may still be on its way, sent again. An Allocate that comes after the end of
/// what it has got begins another allocation, of which its client never hears.
const DOUBT: Duration = Duration::from_secs(60);

/// With what a client signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The username.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What a client asks of a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Its outside address.
    Binding,
    /// A relayed address, for so many seconds.
    Allocate(Option<u32>),
    /// To keep it for so many seconds more; with 0, to end it.
    Refresh(Option<u32>),
    /// That these peers may send.
    Permit(Vec<SocketAddr>),
    /// A channel to a peer.
    Bind(u16, SocketAddr),
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnEvent {
    /// Its outside address.
    Mapped(SocketAddr),
    /// It has a relayed address.
    Allocated {
        /// That address.
        relayed: SocketAddr,
        /// Its own one, from outside.
        mapped: SocketAddr,
    },
    /// Something else was done.
    Done(Ask),
    /// Something was refused, with this code; or never answered, with none.
    Refused(Ask, Option<u16>),
    /// The relayed address is gone, though the client didn't give it back.
    Lost,
    /// A peer sent something.
    Data {
        /// Which.
        peer: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
}

/// A client of a relay, at one local port.
#[derive(Debug)]
pub struct TurnClient {
    login: Login,
    dice: Dice,
    /// Whether it renews what it has.
    is_diligent: bool,
    challenge: Option<Challenge>,
    pending: Vec<Pending>,
    held: Option<Held>,
    /// Until when an Allocate may come.
    asks_until: Time,
    /// Until when the end of an allocation may come.
    ends_until: Time,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<TurnEvent>,
}

#[derive(Debug)]
struct Challenge {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: Key,
}

#[derive(Debug)]
struct Pending {
    ask: Ask,
    transaction: Transaction,
    bytes: Vec<u8>,
    /// With what it was signed.
    key: Option<Key>,
    next: Time,
    sent: u32,
    /// How often it was sent anew because of a challenge.
    challenged: u32,
}

#[derive(Debug)]
struct Held {
    relayed: SocketAddr,
    since: Time,
    expires: Time,
    renew_at: Time,
    /// When each permission is to be renewed.
    permitted: BTreeMap<SocketAddr, Time>,
    channels: BTreeMap<u16, Channel>,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    peer: SocketAddr,
    renew_at: Time,
    expires: Time,
}

impl TurnClient {
    /// A client that has asked for nothing yet.
    #[must_use]
    pub const fn new(login: Login, is_diligent: bool, dice: Dice) -> Self {
        Self {
            login,
            dice,
            is_diligent,
            challenge: None,
            pending: Vec::new(),
            held: None,
            asks_until: Time::START,
            ends_until: Time::START,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Signs with something else from now on.
    pub fn set_login(&mut self, login: Login) {
        (self.login, self.challenge) = (login, None);
    }

    /// The relayed address, if it knows it and didn't ask for another one.
    #[must_use]
    pub fn relayed(&self) -> Option<SocketAddr> {
        let is_asking = self.pending.iter().any(|it| matches!(it.ask, Ask::Allocate(_)));
        self.held.as_ref().filter(|_| !is_asking).map(|held| held.relayed)
    }

    /// The relayed address, if it can be no other one by anything that is under way.
    #[must_use]
    pub fn relayed_for_sure(&self, now: Time) -> Option<SocketAddr> {
        let has_one = |held: &Held| self.asks_until <= now && self.ends_until <= held.since;
        self.relayed().filter(|_| self.held.as_ref().is_some_and(has_one))
    }

    /// Takes note that its port was another client's until now.
    pub fn handle_used_port(&mut self, now: Time) {
        self.ends_until = now + DOUBT;
    }

    /// Asks for something.
    pub fn ask(&mut self, now: Time, ask: Ask) {
        match ask {
            Ask::Allocate(_) => self.asks_until = now + DOUBT,
            Ask::Refresh(Some(0)) => self.ends_until = now + DOUBT,
            Ask::Binding | Ask::Refresh(_) | Ask::Permit(_) | Ask::Bind(..) => {}
        }
        let challenged = 0;
        self.begin(now, ask, challenged);
    }

    /// Sends to a peer, by its channel if it has one.
    pub fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        let channels = self.held.iter().flat_map(|held| &held.channels);
        let channel = channels.into_iter().find(|(_, channel)| channel.peer == peer);
        let bytes = match channel {
            Some((number, _)) => stun::write_channel_data(*number, data),
            None => Builder::new(stun::SEND, Class::Indication, self.dice.bytes())
                .with_address(stun::XOR_PEER_ADDRESS, peer)
                .with(stun::DATA_ATTRIBUTE, data)
                .finish(),
        };
        self.transmits.push_back(bytes);
    }

    /// Takes a datagram of the relay.
    ///
    /// # Panics
    /// If the relay says what no relay may.
    pub fn handle(&mut self, now: Time, bytes: &[u8]) {
        if let Some((number, data)) = stun::channel_data(bytes) {
            let Some(held) = &self.held else { return };
            // One that it has forgotten, or that was bound for another allocation of this port.
            let Some(channel) = held.channels.get(&number) else { return };
            let (peer, bytes) = (channel.peer, data.to_vec());
            return self.events.push_back(TurnEvent::Data { peer, bytes });
        }
        let message = Stun::read(bytes).expect("a relay sends STUN and ChannelData");
        match message.class {
            Class::Indication => {
                assert_eq!(message.method, stun::DATA);
                let peer = message.address(stun::XOR_PEER_ADDRESS).expect("from whom it is");
                let bytes = message.find(stun::DATA_ATTRIBUTE).expect("data").to_vec();
                self.events.push_back(TurnEvent::Data { peer, bytes });
            }
            Class::Success | Class::Error => self.handle_answer(now, &message),
            Class::Request => panic!("a relay asks nothing"),
        }
    }

    /// When to call [`Self::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let pending = self.pending.iter().map(|pending| pending.next);
        let held = self.held.as_ref().map(|held| {
            let permitted = held.permitted.values().copied();
            let channels = held.channels.values().map(|it| it.renew_at.min(it.expires));
            let own = if self.is_diligent { held.renew_at } else { held.expires };
            permitted.chain(channels).fold(own.min(held.expires), Time::min)
        });
        pending.chain(held).min()
    }

    /// Sends again, and renews.
    pub fn handle_timeout(&mut self, now: Time) {
        self.resend(now);
        let Some(held) = &mut self.held else { return };
        if held.expires <= now {
            return self.lose();
        }
        held.channels.retain(|_, channel| now < channel.expires);
        let mut asks = Vec::new();
        if self.is_diligent && held.renew_at <= now {
            held.renew_at = held.expires;
            asks.push(Ask::Refresh(None));
        }
        for (number, channel) in &mut held.channels {
            if channel.renew_at <= now {
                channel.renew_at = channel.expires;
                asks.push(Ask::Bind(*number, channel.peer));
            }
        }
        let due: Vec<_> = held.permitted.iter().filter(|(_, at)| **at <= now).collect();
        let due: Vec<SocketAddr> = due.into_iter().map(|(peer, _)| *peer).collect();
        for peer in &due {
            held.permitted.remove(peer);
        }
        if !due.is_empty() {
            asks.push(Ask::Permit(due));
        }
        if self.is_diligent {
            asks.into_iter().for_each(|ask| self.ask(now, ask));
        }
    }

    /// Gives out the next datagram for the relay.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// Gives out what happened.
    pub fn poll_event(&mut self) -> Option<TurnEvent> {
        self.events.pop_front()
    }

    fn begin(&mut self, now: Time, ask: Ask, challenged: u32) {
        let transaction = self.dice.bytes();
        let bytes = self.write(&ask, transaction);
        self.transmits.push_back(bytes.clone());
        let key = self.challenge.as_ref().map(|challenge| challenge.key);
        let next = now + RTO;
        self.pending.push(Pending { ask, transaction, bytes, key, next, sent: 1, challenged });
    }

    fn write(&self, ask: &Ask, transaction: Transaction) -> Vec<u8> {
        let begin = |method| Builder::new(method, Class::Request, transaction);
        let for_seconds = |builder: Builder, seconds: Option<u32>| match seconds {
            Some(seconds) => builder.with(stun::LIFETIME, &seconds.to_be_bytes()),
            None => builder,
        };
        let builder = match ask {
            Ask::Binding => return begin(stun::BINDING).finish(),
            Ask::Allocate(seconds) => {
                let udp = begin(stun::ALLOCATE).with(stun::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
                for_seconds(udp, *seconds)
            }
            Ask::Refresh(seconds) => for_seconds(begin(stun::REFRESH), *seconds),
            Ask::Permit(peers) => {
                peers.iter().fold(begin(stun::CREATE_PERMISSION), |builder, peer| {
                    builder.with_address(stun::XOR_PEER_ADDRESS, *peer)
                })
            }
            Ask::Bind(number, peer) => {
                let [high, low] = number.to_be_bytes();
                begin(stun::CHANNEL_BIND)
                    .with(stun::CHANNEL_NUMBER, &[high, low, 0, 0])
                    .with_address(stun::XOR_PEER_ADDRESS, *peer)
            }
        };
        let Some(Challenge { realm, nonce, key }) = &self.challenge else {
            return builder.finish();
        };
        builder
            .with(stun::USERNAME, self.login.user.as_bytes())
            .with(stun::REALM, realm)
            .with(stun::NONCE, nonce)
            .sign(key)
            .finish()
    }

    fn resend(&mut self, now: Time) {
        let mut failed = Vec::new();
        self.pending.retain_mut(|pending| {
            if now < pending.next {
                return true;
            }
            if pending.sent >= SENT_MAX {
                failed.push(TurnEvent::Refused(pending.ask.clone(), None));
                return false;
            }
            pending.next = now + RTO * (1 << pending.sent);
            pending.sent += 1;
            self.transmits.push_back(pending.bytes.clone());
            true
        });
        for event in failed {
            let is_doubtful = matches!(event, TurnEvent::Refused(Ask::Allocate(_), _));
            self.events.push_back(event);
            if is_doubtful {
                self.lose();
            }
        }
    }

    fn handle_answer(&mut self, now: Time, answer: &Stun<'_>) {
        let is_it = |pending: &Pending| pending.transaction == answer.transaction;
        let Some(place) = self.pending.iter().position(is_it) else { return };
        let Pending { ask, challenged, key, .. } = self.pending.swap_remove(place);
        let realm = answer.find(stun::REALM).zip(answer.find(stun::NONCE));
        match (answer.error(), realm) {
            (Some(401 | 438), Some((realm, nonce))) if challenged < 3 => {
                let text = String::from_utf8_lossy(realm);
                let key = stun::key(&self.login.user, &text, &self.login.password);
                let (realm, nonce) = (realm.to_vec(), nonce.to_vec());
                self.challenge = Some(Challenge { realm, nonce, key });
                self.begin(now, ask, challenged + 1);
            }
            (Some(code), _) => {
                // An Allocate is refused if it has another one than it thinks.
                let is_lost = code == 437 || matches!(ask, Ask::Allocate(_));
                self.events.push_back(TurnEvent::Refused(ask, Some(code)));
                if is_lost {
                    self.lose();
                }
            }
            (None, _) => {
                let is_signed = key.is_some_and(|key| answer.is_signed_with(&key));
                assert!(is_signed || ask == Ask::Binding, "a success is signed");
                self.done(now, ask, answer);
            }
        }
    }

    fn done(&mut self, now: Time, ask: Ask, answer: &Stun<'_>) {
        let lifetime = answer.lifetime_s().map(|seconds| Duration::from_secs(seconds.into()));
        let mapped = || answer.address(stun::XOR_MAPPED_ADDRESS).expect("an address");
        let event = match (&ask, &mut self.held) {
            (Ask::Binding, _) => TurnEvent::Mapped(mapped()),
            (Ask::Allocate(_), held) => {
                let relayed = answer.address(stun::XOR_RELAYED_ADDRESS).expect("an address");
                let lifetime = lifetime.expect("a lifetime");
                *held = Some(Held {
                    relayed,
                    since: now,
                    expires: now + lifetime,
                    renew_at: now + lifetime.saturating_sub(MARGIN),
                    permitted: BTreeMap::new(),
                    channels: BTreeMap::new(),
                });
                TurnEvent::Allocated { relayed, mapped: mapped() }
            }
            (Ask::Refresh(Some(0)), held) => {
                *held = None;
                TurnEvent::Done(ask)
            }
            (Ask::Refresh(_), Some(held)) => {
                let lifetime = lifetime.expect("a lifetime");
                held.expires = now + lifetime;
                held.renew_at = now + lifetime.saturating_sub(MARGIN);
                TurnEvent::Done(ask)
            }
            (Ask::Permit(peers), Some(held)) => {
                let renew_at = now + (Duration::from_secs(300) - MARGIN);
                held.permitted.extend(peers.iter().map(|peer| (*peer, renew_at)));
                TurnEvent::Done(ask)
            }
            (Ask::Bind(number, peer), Some(held)) => {
                let expires = now + Duration::from_secs(600);
                // The permission that comes with it ends sooner.
                let renew_at = now + (Duration::from_secs(300) - MARGIN);
                held.channels.insert(*number, Channel { peer: *peer, renew_at, expires });
                TurnEvent::Done(ask)
            }
            (Ask::Refresh(_) | Ask::Permit(_) | Ask::Bind(..), None) => return,
        };
        self.events.push_back(event);
    }

    fn lose(&mut self) {
        if self.held.take().is_some() {
            self.events.push_back(TurnEvent::Lost);
        }
    }
}
