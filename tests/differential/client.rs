//! A client that says what came of each of its packets in a form that two servers share.

use super::explained::ATTRIBUTES;
use relay_core::wire::{
    ChannelData, ChannelNumber, Class, Key, Message, Method, TransactionId, Writer, attribute,
    decode_xor_address, encode_xor_address,
};
use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// How long an answer that may come is waited for; loopback needs less than a millisecond.
const PATIENCE: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Ours,
    Theirs,
}

/// What came of a packet: what is said, and the types of attributes it is said with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    server: Server,
    what: String,
    attributes: BTreeSet<u16>,
}

impl Outcome {
    /// As text, without the attributes that only this server sends, if that is explained.
    pub(crate) fn beside(&self, other: &Self, used: &mut BTreeSet<String>) -> String {
        let mut text = self.what.clone();
        for kind in &self.attributes {
            let is_known = ATTRIBUTES.iter().any(|it| (it.kind, it.by) == (*kind, self.server));
            if is_known && !other.attributes.contains(kind) {
                used.insert(format!("attribute {kind:#x}"));
            } else {
                text += &format!(" {kind:04x}");
            }
        }
        text
    }
}

/// Attributes of a request.
pub(crate) type Attributes<'a> = &'a [(u16, &'a [u8])];

/// REQUESTED-TRANSPORT of UDP.
pub(crate) const UDP: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);

/// Who signs a request, and with what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signer {
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
    pub(crate) realm: &'static str,
}

pub(crate) const ALICE: Signer = Signer { user: "alice", password: "secret", realm: "test" };
pub(crate) const CAROL: Signer = Signer { user: "carol", ..ALICE };

/// A client with a socket, a peer beside it, and all that came of its packets.
pub(crate) struct Client {
    server: Server,
    address: SocketAddr,
    socket: UdpSocket,
    peer: UdpSocket,
    nonce: Vec<u8>,
    relayed: Option<SocketAddr>,
    transactions: u8,
    last: Vec<u8>,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Client {
    pub(crate) fn new(server: Server, address: SocketAddr) -> Self {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        Self {
            server,
            address,
            socket: socket(),
            peer: socket(),
            nonce: Vec::new(),
            relayed: None,
            transactions: 0,
            last: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// Sends bytes; what comes back is an outcome.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.address).unwrap();
        self.last = bytes.to_vec();
        self.receive();
    }

    /// Sends the last packet again.
    pub(crate) fn again(&mut self) {
        self.raw(&self.last.clone());
    }

    /// A request or indication as it stands, unsigned.
    pub(crate) fn unsigned(&mut self, class: Class, method: Method, attributes: Attributes<'_>) {
        let bytes = self.message(class, method, attributes);
        self.raw(&bytes);
    }

    pub(crate) fn message(
        &mut self,
        class: Class,
        method: Method,
        attributes: Attributes<'_>,
    ) -> Vec<u8> {
        let mut buffer = [0; 2000];
        let mut writer = Writer::new(&mut buffer, class, method, self.next_transaction());
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
        writer.finish().to_vec()
    }

    /// Gets a nonce, quietly.
    pub(crate) fn challenge(&mut self) {
        self.unsigned(Class::Request, Method::Allocate, &[UDP]);
        self.outcomes.pop();
    }

    /// A signed request of Alice.
    pub(crate) fn ask(&mut self, method: Method, attributes: Attributes<'_>) {
        self.ask_as(ALICE, method, attributes);
    }

    pub(crate) fn ask_as(&mut self, signer: Signer, method: Method, attributes: Attributes<'_>) {
        let bytes = self.signed(signer, method, attributes);
        self.raw(&bytes);
    }

    pub(crate) fn signed(
        &mut self,
        signer: Signer,
        method: Method,
        attributes: Attributes<'_>,
    ) -> Vec<u8> {
        if self.nonce.is_empty() {
            self.challenge();
        }
        let mut buffer = [0; 2000];
        let mut writer = Writer::new(&mut buffer, Class::Request, method, self.next_transaction());
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
        writer.attribute(attribute::USERNAME, signer.user.as_bytes());
        writer.attribute(attribute::REALM, signer.realm.as_bytes());
        writer.attribute(attribute::NONCE, &self.nonce);
        writer.integrity(&Key::long_term(signer.user, signer.realm, signer.password));
        writer.finish().to_vec()
    }

    /// The value of XOR-PEER-ADDRESS in the next message.
    pub(crate) fn xor(&self, address: SocketAddr) -> Vec<u8> {
        let mut value = [0; 20];
        let length = encode_xor_address(address, &self.transaction(1), &mut value);
        value[..length].to_vec()
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer.local_addr().unwrap()
    }

    /// Alice's allocation.
    pub(crate) fn allocate(&mut self) {
        self.ask(Method::Allocate, &[UDP]);
    }

    pub(crate) fn permit(&mut self, peer: SocketAddr) {
        let peer = self.xor(peer);
        self.ask(Method::CreatePermission, &[(attribute::XOR_PEER_ADDRESS, &peer)]);
    }

    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr) {
        let ([high, low], peer) = (number.to_be_bytes(), self.xor(peer));
        let number = (attribute::CHANNEL_NUMBER, &[high, low, 0, 0][..]);
        self.ask(Method::ChannelBind, &[number, (attribute::XOR_PEER_ADDRESS, &peer)]);
    }

    /// Data in a Send indication; what the peer gets is an outcome.
    pub(crate) fn send(&mut self, peer: SocketAddr, more: Attributes<'_>) {
        let peer = self.xor(peer);
        let mut attributes = vec![(attribute::XOR_PEER_ADDRESS, &peer[..])];
        attributes.extend(more);
        let bytes = self.message(Class::Indication, Method::Send, &attributes);
        self.send_for_peer(&bytes);
    }

    pub(crate) fn channel_data(&mut self, number: u16, data: &[u8]) {
        let number = ChannelNumber::new(number).unwrap();
        let header = ChannelData::header(number, u16::try_from(data.len()).unwrap());
        self.send_for_peer(&[&header, data].concat());
    }

    /// Sends bytes; what the peer gets is an outcome.
    pub(crate) fn send_for_peer(&mut self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.address).unwrap();
        let mut buffer = [0; 2000];
        let what = match self.peer.recv(&mut buffer) {
            Ok(length) => format!("the peer gets {:?}", String::from_utf8_lossy(&buffer[..length])),
            Err(_) => "the peer gets nothing".to_owned(),
        };
        self.note(what, BTreeSet::new());
    }

    /// The peer sends to the relayed transport address; what the client gets is an outcome.
    pub(crate) fn peer_sends(&mut self, data: &[u8]) {
        let relayed = self.relayed.expect("the script allocated");
        self.peer.send_to(data, relayed).unwrap();
        self.receive();
    }

    fn receive(&mut self) {
        let mut buffer = [0; 2000];
        let Ok(length) = self.socket.recv(&mut buffer) else {
            return self.note("nothing".to_owned(), BTreeSet::new());
        };
        let bytes = &buffer[..length];
        if let Ok(data) = ChannelData::parse(bytes) {
            let what = format!("channel {:#x} {:?}", data.channel.number(), data.data);
            return self.note(what, BTreeSet::new());
        }
        match Message::parse(bytes) {
            Ok(message) => self.note_message(&message),
            Err(_) => self.note("no STUN".to_owned(), BTreeSet::new()),
        }
    }

    fn note_message(&mut self, message: &Message<'_>) {
        let find = |wanted| message.attributes().find(|(kind, _)| *kind == wanted);
        if let Some((_, nonce)) = find(attribute::NONCE) {
            self.nonce = nonce.to_vec();
        }
        if let Some((_, relayed)) = find(attribute::XOR_RELAYED_ADDRESS) {
            self.relayed = decode_xor_address(relayed, &message.transaction()).ok();
        }
        let mut what = format!("{:?} {:#x}", message.class(), message.method_number());
        if let Some((_, code)) = find(attribute::ERROR_CODE) {
            what += &format!(" {}", u16::from(code[2]) * 100 + u16::from(code[3]));
        }
        if let Some((_, lifetime)) = find(attribute::LIFETIME) {
            what += &format!(" lifetime {}", u32::from_be_bytes(lifetime.try_into().unwrap()));
        }
        if let Some((_, unknown)) = find(attribute::UNKNOWN_ATTRIBUTES) {
            what += &format!(" unknown {unknown:02x?}");
        }
        let mut attributes: BTreeSet<u16> = message.attributes().map(|(kind, _)| kind).collect();
        if message.has_integrity() {
            attributes.insert(attribute::MESSAGE_INTEGRITY);
        }
        if message.has_fingerprint() {
            attributes.insert(attribute::FINGERPRINT);
        }
        self.note(what, attributes);
    }

    fn note(&mut self, what: String, attributes: BTreeSet<u16>) {
        self.outcomes.push(Outcome { server: self.server, what, attributes });
    }

    fn next_transaction(&mut self) -> TransactionId {
        self.transactions += 1;
        self.transaction(0)
    }

    fn transaction(&self, ahead: u8) -> TransactionId {
        let mut id = [7; 12];
        id[0] = self.transactions + ahead;
        TransactionId(id)
    }
}
