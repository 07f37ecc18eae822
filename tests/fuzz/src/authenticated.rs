//! A whole server and clients with passwords: programs of valid and bent operations in virtual
//! time, held against a naive model of who may reach whom.

use crate::input::Input;
use crate::model::{Model, Place};
use crate::world::{LISTENERS, Outcome, REALM, World, address, answer_class};
use relay_core::wire::{
    ChannelData, ChannelNumber, Class, Key, Message, Method, PasswordAlgorithm, TransactionId,
    Writer, attribute, decode_xor_address, encode_xor_address, user_hash,
};
use relay_core::{At, IcmpError, ListenerId, PeerPolicy, PortId};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Clients: listener, address, user.
const CLIENTS: [(u16, &str, &str); 5] = [
    (0, "1.1.1.1:1111", "alice"),
    (0, "3.3.3.3:3333", "carol"),
    (1, "[2001:db8::d]:4444", "alice"),
    (2, "1.1.1.1:1111", "alice"),
    (0, "1.1.1.1:1111", "carol"),
];

/// Peers, those among them whom nobody may reach.
const PEERS: [&str; 16] = [
    "8.8.8.8:8888",
    "8.8.8.8:9999",
    "9.9.9.9:9999",
    "[2606:4700::1]:1",
    "[2606:4700::2]:65535",
    "10.0.0.1:80",
    "127.0.0.1:22",
    "169.254.169.254:80",
    "224.0.0.1:5353",
    "[::ffff:10.0.0.1]:80",
    "[::ffff:8.8.8.8]:8888",
    "[64:ff9b::7f00:1]:1",
    "198.51.100.1:3478",
    "[2001:db8::1]:3478",
    "8.8.4.4:0",
    "0.0.0.0:1",
];

const WAITS_S: [u64; 12] = [0, 1, 30, 59, 60, 299, 300, 301, 599, 600, 601, 3600];

/// The most steps of one program, so that no input is slow.
const STEPS_MAX: usize = 200;

/// Runs a program of operations.
///
/// # Panics
/// If the relay sends what it must not, or loses count.
pub fn authenticated(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut program = Program::new();
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        program.step(&mut input);
    }
    program.finish();
}

struct Program {
    world: World,
    model: Model,
    nonces: HashMap<Place, Vec<u8>>,
    transactions: u64,
    last: Option<(usize, Vec<u8>)>,
}

impl Program {
    fn new() -> Self {
        let world = World::new(2, |config| {
            config.permissions_max = 4;
            config.channels_max = 3;
        });
        Self { world, model: Model::default(), nonces: HashMap::new(), transactions: 0, last: None }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let (what, who) = (input.byte(), input.byte());
        let who = usize::from(who) % CLIENTS.len();
        match what % 17 {
            0 => self.wait(input),
            1 => self.world.open_port(address(LISTENERS[who % 2].0).ip()),
            2 | 3 => {
                let transport: &[u8] = &[17, 0, 0, 0];
                self.request(
                    who,
                    Method::Allocate,
                    &[(attribute::REQUESTED_TRANSPORT, transport)],
                    input,
                );
            }
            4 => {
                let lifetime = u32::from(input.word()).to_be_bytes();
                self.request(who, Method::Refresh, &[(attribute::LIFETIME, &lifetime)], input);
            }
            5 | 6 => self.create_permission(who, input),
            7 | 8 => self.bind_channel(who, input),
            9 => self.send_indication(who, input),
            10 => self.channel_data(who, input),
            11 | 12 => self.peer_data(input),
            13 => {
                let method = input.choose(&Method::ALL);
                self.request(who, method, &[], input);
            }
            14 => self.bend(input),
            15 => self.icmp(input),
            _ => self.hand_over(input),
        }
    }

    fn finish(mut self) {
        self.world.check_sums();
        self.check_live();
        self.world.elapsed += Duration::from_secs(4000);
        let now = self.world.now();
        self.world.server.handle_timeout(now);
        let effects = self.world.effects();
        self.model.note(None, &effects);
        self.check_live();
        assert_eq!(self.model.live(), 0, "every lifetime is over");
    }

    fn check_live(&self) {
        let live = self.world.server.counters().allocations_live();
        assert!(live <= self.model.live() as u64, "an allocation has a port");
        assert_eq!(live == 0, self.model.live() == 0, "a port has an allocation");
    }

    fn wait(&mut self, input: &mut Input<'_>) {
        self.world.elapsed += Duration::from_secs(input.choose(&WAITS_S));
        if input.byte().is_multiple_of(2) {
            let now = self.world.now();
            self.world.server.handle_timeout(now);
            let effects = self.world.effects();
            self.model.note(None, &effects);
        }
        let stream = CLIENTS[3];
        if input.byte() == 1 {
            let now = self.world.now();
            self.world.server.handle_client_gone(now, ListenerId(stream.0), address(stream.1));
            let effects = self.world.effects();
            self.model.note(None, &effects);
        }
    }

    fn create_permission(&mut self, who: usize, input: &mut Input<'_>) {
        let count = input.byte() % 3 + 1;
        let transaction = self.next_transaction();
        let peers: Vec<Vec<u8>> =
            (0..count).map(|_| encoded(self.peer(input), &transaction)).collect();
        let attributes: Vec<_> =
            peers.iter().map(|peer| (attribute::XOR_PEER_ADDRESS, &peer[..])).collect();
        self.request(who, Method::CreatePermission, &attributes, input);
    }

    fn bind_channel(&mut self, who: usize, input: &mut Input<'_>) {
        let [high, low] = channel_number(input).to_be_bytes();
        let transaction = self.next_transaction();
        let peer = encoded(self.peer(input), &transaction);
        let attributes: [(u16, &[u8]); 2] =
            [(attribute::CHANNEL_NUMBER, &[high, low, 0, 0]), (attribute::XOR_PEER_ADDRESS, &peer)];
        self.request(who, Method::ChannelBind, &attributes, input);
    }

    fn send_indication(&mut self, who: usize, input: &mut Input<'_>) {
        let transaction = self.next_transaction();
        self.transactions += 1;
        let mut buffer = [0; 512];
        let mut writer = Writer::new(&mut buffer, Class::Indication, Method::Send, transaction);
        writer.xor_address(attribute::XOR_PEER_ADDRESS, self.peer(input));
        let length = usize::from(input.byte());
        writer.attribute(attribute::DATA, input.bytes(length));
        let message = writer.finish().to_vec();
        self.client(who, &message);
    }

    fn channel_data(&mut self, who: usize, input: &mut Input<'_>) {
        let number = ChannelNumber::new(channel_number(input));
        let number = number.or(ChannelNumber::new(0x4000)).expect("the first channel");
        let length = usize::from(input.byte());
        let data = input.bytes(length);
        let announced = u16::try_from(data.len()).expect("it is short");
        let message = [&ChannelData::header(number, announced), data].concat();
        self.client(who, &message);
    }

    fn peer_data(&mut self, input: &mut Input<'_>) {
        let ports = self.model.ports();
        let port = match ports.len() {
            0 => PortId(u32::from(input.byte()) % self.world.ports()),
            live => ports[usize::from(input.byte()) % live],
        };
        let peer = self.peer(input);
        let length = usize::from(input.byte());
        let data = input.bytes(length);
        let now = self.world.elapsed;
        let outcome = self.world.datagram(At::Port(port), peer, data);
        let effects = self.world.effects();
        self.model.note(None, &effects);
        if let Outcome::Send { via, to, bytes } = outcome {
            assert!(self.model.may_talk(now, port, peer.ip()), "{peer} has no permission");
            assert!(PeerPolicy::default().permits(peer.ip()), "{peer} is denied");
            assert!(self.model.is_owner(port, via, to), "{to} isn't the client of {port:?}");
            carries(via, &bytes, data);
        } else {
            assert_eq!(outcome, Outcome::Nothing);
        }
    }

    fn icmp(&mut self, input: &mut Input<'_>) {
        let ports = self.model.ports();
        let port = match ports.len() {
            0 => PortId(u32::from(input.byte()) % self.world.ports()),
            live => ports[usize::from(input.byte()) % live],
        };
        let peer = self.peer(input);
        let error = IcmpError {
            kind: input.byte(),
            code: input.byte(),
            mtu: u32::from_be_bytes(input.array()),
        };
        let now = self.world.elapsed;
        let outcome = self.world.icmp(port, peer, error);
        let effects = self.world.effects();
        self.model.note(None, &effects);
        if let Outcome::Send { via, to, bytes } = outcome {
            assert!(self.model.may_talk(now, port, peer.ip()), "{peer} has no permission");
            assert!(self.model.is_owner(port, via, to), "{to} isn't the client of {port:?}");
            let message = read(&bytes);
            assert_eq!((message.class(), message.method_number()), (Class::Indication, 0x007));
            assert!(find(&message, attribute::ICMP).is_some());
            assert_eq!(find(&message, attribute::DATA), None);
        }
    }

    /// Sends the last message again, some of its bytes changed.
    fn bend(&mut self, input: &mut Input<'_>) {
        let Some((who, mut message)) = self.last.clone() else {
            return;
        };
        for _ in 0..input.byte() % 4 {
            let place = usize::from(input.word()) % message.len();
            message[place] = input.byte();
        }
        self.client(who, &message);
    }

    fn hand_over(&mut self, input: &mut Input<'_>) {
        let (from, to) = (self.peer(input), self.peer(input));
        let length = usize::from(input.byte());
        let outcome = self.world.handover(from, to, input.bytes(length));
        let effects = self.world.effects();
        self.model.note(None, &effects);
        if let Outcome::Send { via, to: client, .. } = outcome {
            let port = port_of(to).expect("data for an own address");
            assert!(self.model.may_talk(self.world.elapsed, port, from.ip()));
            assert!(self.model.is_owner(port, via, client));
        }
    }

    /// A signed request with attributes of the operation, and maybe some of the fuzzer's.
    fn request(
        &mut self,
        who: usize,
        method: Method,
        attributes: &[(u16, &[u8])],
        input: &mut Input<'_>,
    ) {
        let (_, _, user) = CLIENTS[who];
        let transaction = self.next_transaction();
        let nonce = self.nonce(who);
        let mut buffer = [0; 4096];
        let mut writer = Writer::new(&mut buffer, Class::Request, method, transaction);
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
        let bits = input.byte();
        for _ in 0..bits % 4 {
            let (kind, value) = extra(input);
            writer.attribute(kind, value);
        }
        sign(&mut writer, user, &nonce, bits);
        if bits & 0x80 != 0 {
            let (kind, value) = extra(input);
            writer.attribute(kind, value);
        }
        if bits & 0x40 != 0 {
            writer.fingerprint();
        }
        // The same transaction again if the bit is set: a retransmission.
        self.transactions += u64::from(bits & 0x20 == 0);
        let message = writer.finish().to_vec();
        self.client(who, &message);
    }

    /// A datagram from a client, and a look at what comes of it.
    fn client(&mut self, who: usize, message: &[u8]) {
        let place = place(who);
        let now = self.world.elapsed;
        let at = At::Listener(ListenerId(place.0));
        let outcome = self.world.datagram(at, place.1, message);
        self.last = Some((who, message.to_vec()));
        let effects = self.world.effects();
        // A datagram on an old allocation ends it first; then it may make another.
        self.model.note(Some(place), &effects);
        match outcome {
            Outcome::Send { via: At::Port(port), to, bytes } => {
                assert!(self.model.may_talk(now, port, to.ip()), "{to} has no permission");
                assert!(PeerPolicy::default().permits(to.ip()), "{to} is denied");
                assert!(to.port() != 0 && !is_listener(to), "{to} is nobody's peer");
                assert!(
                    message.windows(bytes.len().max(1)).any(|part| part == bytes)
                        || bytes.is_empty()
                );
            }
            Outcome::Send { via: via @ At::Listener(_), to, bytes } => {
                if is_answer(&bytes) && to == place.1 && via == at {
                    self.answered(place, message, &bytes);
                } else {
                    let known = CLIENTS.map(|client| (client.0, address(client.1)));
                    assert!(
                        known
                            .iter()
                            .any(|known| known.1 == to && via == At::Listener(ListenerId(known.0)))
                    );
                }
            }
            Outcome::Handover { to } => panic!("one worker handed over to {to}"),
            Outcome::Nothing => {}
        }
    }

    fn answered(&mut self, client: Place, request: &[u8], answer: &[u8]) {
        let class = answer_class(request, answer);
        let (request, answer) = (read(request), read(answer));
        if let Some(nonce) = find(&answer, attribute::NONCE) {
            self.nonces.insert(client, nonce.to_vec());
        }
        let grants = [Method::CreatePermission.number(), Method::ChannelBind.number()];
        if class != Class::Success || !grants.contains(&request.method_number()) {
            return;
        }
        let is_one = request.method_number() == Method::ChannelBind.number();
        let peers = request.attributes().filter(|(kind, _)| *kind == attribute::XOR_PEER_ADDRESS);
        for (_, value) in peers.take(if is_one { 1 } else { usize::MAX }) {
            let peer = decode_xor_address(value, &request.transaction());
            let peer = peer.expect("a wrong address is refused").ip();
            let is_own =
                address(LISTENERS[0].0).ip() == peer || address(LISTENERS[1].0).ip() == peer;
            assert!(is_own || PeerPolicy::default().permits(peer), "{peer} was permitted");
            self.model.grant(self.world.elapsed, client, peer);
        }
    }

    fn nonce(&mut self, who: usize) -> Vec<u8> {
        let place = place(who);
        if let Some(nonce) = self.nonces.get(&place) {
            return nonce.clone();
        }
        let transaction = self.next_transaction();
        let mut buffer = [0; 64];
        let writer = Writer::new(&mut buffer, Class::Request, Method::Allocate, transaction);
        let message = writer.finish().to_vec();
        self.client(who, &message);
        self.nonces.get(&place).cloned().unwrap_or_default()
    }

    /// A fixed peer, or one of the addresses that allocations have.
    fn peer(&self, input: &mut Input<'_>) -> SocketAddr {
        let choice = usize::from(input.byte());
        let Some(text) = PEERS.get(choice % 24) else {
            let port = PortId(u32::try_from(choice).expect("a byte") % self.world.ports());
            return relayed(port);
        };
        address(text)
    }

    fn next_transaction(&self) -> TransactionId {
        let mut id = [9; 12];
        id[..8].copy_from_slice(&self.transactions.to_be_bytes());
        TransactionId(id)
    }
}

/// As a client of RFC 5389 does, or, by two of the bits, as one of RFC 8489.
fn sign(writer: &mut Writer<'_>, user: &str, nonce: &[u8], bits: u8) {
    let is_new = bits & 0x10 != 0;
    if is_new && bits & 0x08 != 0 {
        writer.attribute(attribute::USERHASH, &user_hash(user, REALM));
    } else {
        writer.attribute(attribute::USERNAME, user.as_bytes());
    }
    writer.attribute(attribute::REALM, REALM.as_bytes());
    writer.attribute(attribute::NONCE, nonce);
    if !is_new {
        writer.integrity(&Key::long_term(user, REALM, "secret"));
        return;
    }
    let algorithm = PasswordAlgorithm::Sha256;
    writer.attribute(attribute::PASSWORD_ALGORITHMS, &PasswordAlgorithm::LIST);
    writer.attribute(attribute::PASSWORD_ALGORITHM, &PasswordAlgorithm::LIST[..4]);
    writer.integrity_sha256(&Key::long_term_by(algorithm, user, REALM, "secret"));
}

fn place(who: usize) -> Place {
    let (listener, text, _) = CLIENTS[who];
    (listener, address(text))
}

/// Relay ports are opened for the two families in turn at the start; later ones may not be.
fn relayed(port: PortId) -> SocketAddr {
    let ip: IpAddr = address(LISTENERS[port.0 as usize % 2].0).ip();
    SocketAddr::new(ip, 50_000 + u16::try_from(port.0).expect("few ports"))
}

fn port_of(relayed: SocketAddr) -> Option<PortId> {
    relayed.port().checked_sub(50_000).map(|number| PortId(number.into()))
}

fn is_listener(peer: SocketAddr) -> bool {
    LISTENERS.iter().any(|(local, _)| address(local) == peer)
}

/// Whether it is an answer, not data.
fn is_answer(bytes: &[u8]) -> bool {
    let message = Message::parse(bytes);
    message.is_ok_and(|message| matches!(message.class(), Class::Success | Class::Error))
}

/// `bytes` go to a client and carry `data`, in ChannelData or a Data indication.
fn carries(via: At, bytes: &[u8], data: &[u8]) {
    let is_stream = via == At::Listener(ListenerId(2));
    if let Ok(message) = ChannelData::parse(bytes) {
        assert_eq!(message.data, data);
        let padding = if is_stream { data.len().next_multiple_of(4) } else { data.len() };
        assert_eq!(bytes.len(), 4 + padding, "padded on streams only");
        return;
    }
    let message = read(bytes);
    assert_eq!((message.class(), message.method_number()), (Class::Indication, 0x007));
    assert_eq!(find(&message, attribute::DATA), Some(data));
}

fn read(bytes: &[u8]) -> Message<'_> {
    Message::parse(bytes).expect("what the relay sends or answers reads")
}

fn find<'a>(message: &Message<'a>, kind: u16) -> Option<&'a [u8]> {
    message.attributes().find(|(other, _)| *other == kind).map(|(_, value)| value)
}

fn encoded(peer: SocketAddr, transaction: &TransactionId) -> Vec<u8> {
    let mut value = [0; 20];
    let length = encode_xor_address(peer, transaction, &mut value);
    value[..length].to_vec()
}

fn channel_number(input: &mut Input<'_>) -> u16 {
    match input.byte() % 8 {
        7 => input.word(),
        few => 0x4000 + u16::from(few % 4),
    }
}

/// An attribute of the fuzzer's: a kind that the relay knows or any other, any short value.
fn extra<'a>(input: &mut Input<'a>) -> (u16, &'a [u8]) {
    const KINDS: [u16; 24] = [
        0x0003, 0x0006, 0x0009, 0x000c, 0x000d, 0x0012, 0x0013, 0x0014, 0x0015, 0x0017, 0x0018,
        0x0019, 0x001a, 0x001c, 0x001d, 0x001e, 0x0020, 0x0022, 0x0026, 0x0027, 0x8000, 0x8004,
        0x8030, 0x8002,
    ];
    let kind = match input.byte() {
        0xff => input.word(),
        choice => KINDS[usize::from(choice) % KINDS.len()],
    };
    let length = usize::from(input.byte() % 40);
    (kind, input.bytes(length))
}
