//! What a relay may do and must do, told by what goes in and comes out at its door.
//!
//! It knows who may ask (names and passwords), reads all answers, and keeps what they promise: an
//! allocation until its lifetime is over, a permission for 300 seconds, a channel for 600. From
//! that follows for each datagram what has to leave: exactly one datagram, or none.

use super::stun::{self, Class, Key, Stun, Transaction};
use heliograph_base::{Now, SeatName, Secret, Time, UnixTime, Username, password};
use relay_core::{Config, PeerPolicy};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// RFC 8656 §9: "The permission lifetime MUST be 300 seconds".
const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// RFC 8656 §12: "the channel binding lasts for 10 minutes".
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

/// Where a datagram came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// From a client.
    Listener,
    /// At this relayed address.
    Relayed(SocketAddr),
}

/// A datagram that came in.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    pub(crate) door: Door,
    pub(crate) from: SocketAddr,
    pub(crate) bytes: &'a [u8],
}

/// A datagram that left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The address of the relay that it left by.
    pub from: SocketAddr,
    /// Where to.
    pub to: SocketAddr,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// What holds of one relay since its start.
#[derive(Debug)]
pub(crate) struct Oracle {
    /// The first of them has the address that is relayed from.
    listeners: Vec<SocketAddr>,
    realm: String,
    secret: Secret,
    users: HashMap<String, String>,
    keys: HashMap<String, Key>,
    policy: PeerPolicy,
    lifetimes: (Duration, Duration),
    nonce_lifetime: Duration,
    allocations_per_user_max: usize,
    allocations: BTreeMap<SocketAddr, Allocation>,
    /// To whom each nonce was given, and when.
    nonces: HashMap<(SocketAddr, Vec<u8>), Time>,
    revoked: BTreeSet<(String, String, u64)>,
    /// How many datagrams were relayed.
    relayed: u64,
}

#[derive(Debug)]
struct Allocation {
    client: SocketAddr,
    user: String,
    transaction: Transaction,
    expires: Time,
    permissions: HashMap<IpAddr, Time>,
    channels: BTreeMap<u16, (SocketAddr, Time)>,
}

/// Who signed a request, as far as that is certain.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// The user, by all rules.
    Proven(String),
    /// The user, but within a second of an end, or with credentials that have ended since.
    Doubtful(String),
    /// Nobody.
    Stranger,
}

impl Allocation {
    fn permits(&self, now: Time, peer: IpAddr) -> bool {
        self.permissions.get(&peer).is_some_and(|until| now < *until)
    }

    fn channel_to(&self, now: Time, peer: SocketAddr) -> Option<u16> {
        let live = |(_, until): &(SocketAddr, Time)| now < *until;
        let it = self.channels.iter().find(|(_, channel)| channel.0 == peer && live(channel));
        it.map(|(number, _)| *number)
    }

    fn peer_of(&self, now: Time, channel: u16) -> Option<SocketAddr> {
        let (peer, until) = self.channels.get(&channel)?;
        (now < *until).then_some(*peer)
    }
}

impl Oracle {
    pub(crate) fn new(config: &Config) -> Self {
        let users = config.users.iter().map(|user| (user.name.clone(), user.password.clone()));
        Self {
            listeners: config.listeners.iter().map(|listener| listener.local).collect(),
            realm: config.realm.clone(),
            secret: config.secrets[0].clone(),
            users: users.collect(),
            keys: HashMap::new(),
            policy: config.policy.clone(),
            lifetimes: (config.lifetime_default, config.lifetime_max),
            nonce_lifetime: config.nonce_lifetime,
            allocations_per_user_max: config.allocations_per_user_max,
            allocations: BTreeMap::new(),
            nonces: HashMap::new(),
            revoked: BTreeSet::new(),
            relayed: 0,
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.allocations.len()
    }

    /// How many datagrams were relayed.
    pub(crate) const fn relayed(&self) -> u64 {
        self.relayed
    }

    /// Judges what comes of one datagram.
    pub(crate) fn judge(&mut self, now: Now, input: &Input<'_>, sent: Option<&Sent>) {
        if let (Door::Listener, Some(request)) = (input.door, Stun::read(input.bytes))
            && request.class == Class::Request
        {
            return self.judge_answer(now, input.from, &request, sent);
        }
        let expected = match input.door {
            Door::Listener => self.of_data(now.time, input),
            Door::Relayed(relayed) => {
                self.on_network(input.from).then(|| self.to_client(now.time, input.from, relayed))
            }
            .flatten()
            .map(|to| (to, input.bytes)),
        };
        match (expected, sent) {
            (None, None) => {}
            (Some((way, data)), Some(sent)) => {
                way.check(sent, data);
                self.relayed += 1;
            }
            (expected, sent) => panic!("of {input:?} comes {sent:?} instead of {expected:?}"),
        }
    }

    /// A port was closed.
    pub(crate) fn closed(&mut self, now: Time, relayed: SocketAddr) {
        if let Some(allocation) = self.allocations.remove(&relayed) {
            assert!(allocation.expires <= now, "{relayed} is closed before its end");
        }
    }

    /// Credentials are taken back, and so what was had with them.
    pub(crate) fn revoke(&mut self, room: &str, peer: &str, seat: u64) {
        self.revoked.insert((room.to_owned(), peer.to_owned(), seat));
        let is_meant = |allocation: &mut Allocation| self.revoked.contains(&seat_of(allocation));
        self.allocations.retain(|_, allocation| !is_meant(allocation));
    }

    /// Nothing outlives its end, and the relay wakes up in time.
    pub(crate) fn check(&self, now: Time, timeout: Option<Time>) {
        let first = self.allocations.values().map(|allocation| allocation.expires).min();
        if let Some(first) = first {
            assert!(timeout.is_some_and(|timeout| timeout <= first), "the relay sleeps too long");
            assert!(now < first || timeout <= Some(now), "an allocation outlives its end");
        }
    }

    /// What has to come of data from a client.
    fn of_data<'a>(&self, now: Time, input: &Input<'a>) -> Option<(Way, &'a [u8])> {
        let (relayed, own) = self.of_client(now, input.from)?;
        let (peer, data) = match stun::channel_data(input.bytes) {
            Some((number, data)) => (own.peer_of(now, number)?, data),
            None => {
                let message = Stun::read(input.bytes)?;
                let is_send = (message.method, message.class) == (stun::SEND, Class::Indication);
                let peer = message.address(stun::XOR_PEER_ADDRESS).filter(|_| is_send)?;
                (peer, message.find(stun::DATA_ATTRIBUTE)?)
            }
        };
        if !own.permits(now, peer.ip()) {
            return None;
        }
        let is_own = self.allocations.get(&peer).is_some_and(|other| now < other.expires);
        if is_own {
            return Some((self.to_client(now, relayed, peer)?, data));
        }
        self.on_network(peer).then_some((Way::ToPeer { relayed, peer }, data))
    }

    /// How data from a peer gets to the client with this relayed address.
    fn to_client(&self, now: Time, peer: SocketAddr, relayed: SocketAddr) -> Option<Way> {
        let own = self.allocations.get(&relayed).filter(|own| now < own.expires)?;
        let (listener, client) = (self.listener_of(own.client), own.client);
        own.permits(now, peer.ip()).then(|| match own.channel_to(now, peer) {
            Some(channel) => Way::ByChannel { listener, client, channel },
            None => Way::Indication { listener, client, peer },
        })
    }

    /// Whether packets may be exchanged with this address over the network.
    fn on_network(&self, peer: SocketAddr) -> bool {
        let is_service = peer.port() < 1024 && peer.port() != 443;
        self.policy.permits(peer.ip()) && !is_service && !self.listeners.contains(&peer)
    }

    /// Where a client speaks to the relay.
    fn listener_of(&self, client: SocketAddr) -> SocketAddr {
        let mut all = self.listeners.iter();
        *all.find(|it| it.is_ipv4() == client.is_ipv4()).expect("it speaks to the relay")
    }

    fn relayed_ip(&self) -> IpAddr {
        self.listeners[0].ip()
    }

    fn of_client(&self, now: Time, client: SocketAddr) -> Option<(SocketAddr, &Allocation)> {
        let mut all = self.allocations.iter();
        let it = all.find(|(_, own)| own.client == client && now < own.expires);
        it.map(|(relayed, own)| (*relayed, own))
    }

    fn judge_answer(
        &mut self,
        now: Now,
        client: SocketAddr,
        request: &Stun<'_>,
        sent: Option<&Sent>,
    ) {
        let Some(Sent { from, to, bytes }) = sent else {
            return assert_eq!(
                self.standing(now, client, request),
                Standing::Stranger,
                "no answer"
            );
        };
        assert_eq!((*from, *to), (self.listener_of(client), client), "who asks is answered");
        let answer = Stun::read(bytes).expect("an answer");
        assert_eq!((answer.method, answer.transaction), (request.method, request.transaction));
        if let Some(mapped) = answer.address(stun::XOR_MAPPED_ADDRESS) {
            assert_eq!(mapped, client, "its outside address");
        }
        match answer.class {
            Class::Success if request.method == stun::BINDING => {}
            Class::Success => {
                let standing = self.standing(now, client, request);
                let (Standing::Proven(user) | Standing::Doubtful(user)) = standing else {
                    panic!("{client} has shown nobody's password, and gets {answer:?}");
                };
                self.note(now, (client, user), request, &answer);
            }
            Class::Error => {
                if let Some(nonce) = answer.find(stun::NONCE) {
                    self.nonces.insert((client, nonce.to_vec()), now.time);
                }
                let code = answer.error().expect("a code");
                if let Standing::Proven(user) = self.standing(now, client, request) {
                    self.check_refusal(now.time, (client, &user), request, code);
                }
            }
            Class::Request | Class::Indication => panic!("no answer: {answer:?}"),
        }
    }

    /// Who signed a request with a nonce of its own.
    fn standing(&mut self, now: Now, client: SocketAddr, request: &Stun<'_>) -> Standing {
        let name = request.find(stun::USERNAME).and_then(|name| str::from_utf8(name).ok());
        let (Some(name), Some(nonce)) = (name, request.find(stun::NONCE)) else {
            return Standing::Stranger;
        };
        let Some(given) = self.nonces.get(&(client, nonce.to_vec())) else {
            return Standing::Stranger;
        };
        let age = now.time.since(*given);
        // Nonces say in whole seconds when they were made.
        let second = Duration::from_secs(1);
        if age >= self.nonce_lifetime + second {
            return Standing::Stranger;
        }
        let key = self.key(name);
        if key.is_none_or(|key| !request.is_signed_with(&key)) {
            return Standing::Stranger;
        }
        let expires = Username::parse(name).map(|username| username.expires);
        let has_expired = expires.is_some_and(|expires| has_come(now.unix, expires));
        // What there is already may be used and ended, but not begun or prolonged.
        let is_use = match request.method {
            stun::REFRESH => request.lifetime_s() == Some(0),
            stun::ALLOCATE => self.of_client(now.time, client).is_some(),
            _ => true,
        };
        match (has_expired, age + second < self.nonce_lifetime) {
            (true, _) if !is_use => Standing::Stranger,
            (false, true) => Standing::Proven(name.to_owned()),
            (true, _) | (false, false) => Standing::Doubtful(name.to_owned()),
        }
    }

    fn key(&mut self, name: &str) -> Option<Key> {
        if let Some(key) = self.keys.get(name) {
            return Some(*key);
        }
        let password = match self.users.get(name) {
            Some(password) => password.clone(),
            None => Username::parse(name).map(|_| password(&self.secret, name))?,
        };
        let key = stun::key(name, &self.realm, &password);
        self.keys.insert(name.to_owned(), key);
        Some(key)
    }

    /// Takes note of what a success promises.
    fn note(
        &mut self,
        now: Now,
        (client, user): (SocketAddr, String),
        request: &Stun<'_>,
        answer: &Stun<'_>,
    ) {
        let lifetime = self.lifetime(request, answer);
        let own = self.of_client(now.time, client).map(|(relayed, _)| relayed);
        if request.method == stun::ALLOCATE {
            return self.begin(now.time, (client, user, own), request, (answer, lifetime));
        }
        let relayed = own.unwrap_or_else(|| panic!("{client} has no allocation"));
        let relayed_ip = self.relayed_ip();
        let own = self.allocations.get_mut(&relayed).expect("it is there");
        assert_eq!(own.user, user, "another user's allocation");
        let peers: Vec<SocketAddr> = request.addresses(stun::XOR_PEER_ADDRESS).collect();
        for peer in &peers {
            let may_be = self.policy.permits(peer.ip()) || peer.ip() == relayed_ip;
            assert!(may_be, "nobody may reach {peer}");
            own.permissions.insert(peer.ip(), now.time + PERMISSION_LIFETIME);
        }
        match request.method {
            stun::REFRESH if lifetime.is_zero() => {
                self.allocations.remove(&relayed);
            }
            stun::REFRESH => own.expires = now.time + lifetime,
            stun::CREATE_PERMISSION => assert!(!peers.is_empty()),
            stun::CHANNEL_BIND => {
                let (number, peer) = (request.channel().expect("a number"), peers[0]);
                assert!(is_channel(number), "{number:x} is no channel");
                let before = own.peer_of(now.time, number);
                assert!(before.is_none_or(|before| before == peer), "it led to {before:?}");
                let other = own.channel_to(now.time, peer);
                assert!(other.is_none_or(|other| other == number), "{peer} has {other:?}");
                own.channels.insert(number, (peer, now.time + CHANNEL_LIFETIME));
            }
            method => panic!("{method} has no success"),
        }
    }

    fn begin(
        &mut self,
        now: Time,
        (client, user, own): (SocketAddr, String, Option<SocketAddr>),
        request: &Stun<'_>,
        (answer, lifetime): (&Stun<'_>, Duration),
    ) {
        let relayed = answer.address(stun::XOR_RELAYED_ADDRESS).expect("an address");
        let transaction = request.transaction;
        if let Some(own) = own {
            let before = &self.allocations[&own];
            assert_eq!((own, &before.user), (relayed, &user), "only what it has already");
            assert_eq!(before.transaction, transaction, "only for a retransmission");
            return;
        }
        let allocation = Allocation {
            client,
            user: user.clone(),
            transaction,
            expires: now + lifetime,
            permissions: HashMap::new(),
            channels: BTreeMap::new(),
        };
        assert!(!self.revoked.contains(&seat_of(&allocation)), "{user} is revoked");
        let before = self.allocations.insert(relayed, allocation);
        assert!(before.is_none(), "{relayed} is somebody's");
        let count = self.count(&user);
        assert!(count <= self.allocations_per_user_max, "{user} has {count} allocations");
    }

    /// What a success says of the lifetime; zero if it is the end.
    fn lifetime(&self, request: &Stun<'_>, answer: &Stun<'_>) -> Duration {
        let (least, most) = self.lifetimes;
        let asked = Duration::from_secs(request.lifetime_s().unwrap_or(0).into());
        let told = answer.lifetime_s().map(|seconds| Duration::from_secs(seconds.into()));
        let is_end = request.method == stun::REFRESH && request.lifetime_s() == Some(0);
        let expected = match request.method {
            stun::REFRESH if is_end => Some(Duration::ZERO),
            stun::ALLOCATE | stun::REFRESH => Some(asked.clamp(least, most)),
            _ => None,
        };
        assert_eq!(told, expected, "the lifetime");
        told.unwrap_or_default()
    }

    /// Who has shown who it is gets what it may have.
    fn check_refusal(
        &self,
        now: Time,
        (client, user): (SocketAddr, &str),
        request: &Stun<'_>,
        code: u16,
    ) {
        let own = self.of_client(now, client).map(|(_, own)| own);
        let peers: Vec<SocketAddr> = request.addresses(stun::XOR_PEER_ADDRESS).collect();
        let may_be =
            |peer: &SocketAddr| self.policy.permits(peer.ip()) || peer.ip() == self.relayed_ip();
        let expected: &[u16] = match (own, request.method) {
            (None, stun::ALLOCATE) if self.is_revoked(user) => &[403],
            (None, stun::ALLOCATE) if self.count(user) >= self.allocations_per_user_max => &[486],
            (None, stun::ALLOCATE) => &[],
            (Some(own), stun::ALLOCATE)
                if own.transaction == request.transaction && own.user == user =>
            {
                &[]
            }
            (None, _) | (Some(_), stun::ALLOCATE) => &[437],
            (Some(own), _) if own.user != user => &[441],
            (Some(_), stun::CHANNEL_BIND) if !request.channel().is_some_and(is_channel) => &[400],
            (Some(_), _) if !peers.iter().all(may_be) => &[403],
            // The number or the peer may be taken, the peer a service.
            (Some(own), stun::CHANNEL_BIND) => {
                let number = request.channel().expect("our clients name one");
                let is_free = own.peer_of(now, number).is_none_or(|peer| peer == peers[0])
                    && own.channel_to(now, peers[0]).is_none_or(|other| other == number);
                let is_service = !self.on_network(peers[0]) && peers[0].ip() != self.relayed_ip();
                match (is_service || self.listeners.contains(&peers[0]), is_free) {
                    (true, _) => &[403, 400],
                    (false, true) => &[],
                    (false, false) => &[400],
                }
            }
            (Some(_), _) => &[],
        };
        assert!(expected.contains(&code), "{user} at {client} gets {code} for {request:?}");
    }

    fn count(&self, user: &str) -> usize {
        let same = |own: &&Allocation| holder(&own.user) == holder(user);
        self.allocations.values().filter(same).count()
    }

    fn is_revoked(&self, user: &str) -> bool {
        self.revoked.contains(&seat(user))
    }
}

/// How data leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToPeer { relayed: SocketAddr, peer: SocketAddr },
    ByChannel { listener: SocketAddr, client: SocketAddr, channel: u16 },
    Indication { listener: SocketAddr, client: SocketAddr, peer: SocketAddr },
}

impl Way {
    /// It left so, unchanged.
    fn check(self, sent: &Sent, data: &[u8]) {
        let Sent { from, to, bytes } = sent;
        let ends = (*from, *to);
        match self {
            Self::ToPeer { relayed, peer } => {
                assert_eq!((ends, &**bytes), ((relayed, peer), data));
            }
            Self::ByChannel { listener, client, channel } => {
                assert_eq!(ends, (listener, client));
                assert_eq!(stun::channel_data(bytes), Some((channel, data)));
            }
            Self::Indication { listener, client, peer } => {
                assert_eq!(ends, (listener, client));
                let message = Stun::read(bytes).expect("an indication");
                assert_eq!((message.method, message.class), (stun::DATA, Class::Indication));
                assert_eq!(message.address(stun::XOR_PEER_ADDRESS), Some(peer));
                assert_eq!(message.find(stun::DATA_ATTRIBUTE), Some(data));
            }
        }
    }
}

fn has_come(now: UnixTime, at: UnixTime) -> bool {
    now >= at
}

/// RFC 8656 §12 has them up to 0x4FFF, RFC 5766 up to 0x7FFF.
fn is_channel(number: u16) -> bool {
    (0x4000..0x8000).contains(&number)
}

/// Whose allocations count together.
fn holder(user: &str) -> &str {
    Username::parse(user).map_or(user, |name| name.holder)
}

fn seat_of(allocation: &Allocation) -> (String, String, u64) {
    seat(&allocation.user)
}

fn seat(user: &str) -> (String, String, u64) {
    let name = SeatName::parse(holder(user));
    name.map_or_else(Default::default, |it| (it.room.to_owned(), it.peer.to_owned(), it.seat))
}
