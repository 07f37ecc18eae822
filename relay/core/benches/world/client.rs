//! A client: its address, its credentials, and how it writes requests.

use super::Packet;
use heliograph_base::{Credentials, SeatName, Secret, UnixTime};
use relay_core::wire::{Class, Key, Method, TransactionId, Writer, attribute};
use relay_core::{At, ListenerId, PortId};
use std::net::SocketAddr;

pub const REALM: &str = "heliograph";
/// How long the nonces of this relay are.
pub type Nonce = [u8; 24];

const USER: &str = "alice";
const PASSWORD: &str = "a password";
const EXPIRES: UnixTime = UnixTime::from_seconds(2_000_000_000);
const PEERS_OF_A_ROOM: usize = 4;

/// Who the clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// All are the same static user, whose packets nobody counts.
    Static,
    /// Each has a seat in a room and the credentials that were minted for it, and is metered.
    Holders,
}

impl Users {
    pub const ALL: [Self; 2] = [Self::Static, Self::Holders];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Holders => "holders",
        }
    }
}

/// What a client remembers.
pub struct Client {
    pub address: SocketAddr,
    pub listener: ListenerId,
    /// Of its allocation.
    pub port: PortId,
    pub relayed: SocketAddr,
    pub nonce: Nonce,
    user: Box<str>,
    key: Key,
}

impl Client {
    pub fn new(place: usize, listener: ListenerId, users: Users, secret: &Secret) -> Self {
        let number = place as u32;
        // One in five shares its source address with the one before.
        let ip = 0x0b00_0000 + number - u32::from(number % 5 == 1);
        let address = SocketAddr::new(ip.to_be_bytes().into(), 40_000 + (number % 5) as u16);
        let (user, password) = match users {
            Users::Static => (USER.to_owned(), PASSWORD.to_owned()),
            Users::Holders => {
                let room = format!("room-{}", place / PEERS_OF_A_ROOM);
                let seat = SeatName { room: &room, peer: "0123456789abcdef", seat: place as u64 };
                let minted = Credentials::mint(secret, EXPIRES, seat);
                (minted.username, minted.password)
            }
        };
        Self {
            address,
            listener,
            port: PortId(u32::MAX),
            relayed: address,
            nonce: Nonce::default(),
            key: Key::long_term(&user, REALM, &password),
            user: user.into(),
        }
    }

    /// A message without credentials.
    pub fn plain(&self, class: Class, method: Method, id: u64, write: Attributes<'_>) -> Packet {
        self.message(class, method, id, |writer| write(writer))
    }

    /// A request with credentials.
    pub fn signed(&self, method: Method, id: u64, write: Attributes<'_>) -> Packet {
        self.message(Class::Request, method, id, |writer| {
            write(writer);
            writer.attribute(attribute::USERNAME, self.user.as_bytes());
            writer.attribute(attribute::REALM, REALM.as_bytes());
            writer.attribute(attribute::NONCE, &self.nonce);
            writer.integrity(&self.key);
        })
    }

    fn message(
        &self,
        class: Class,
        method: Method,
        id: u64,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> Packet {
        let mut transaction = [7; 12];
        transaction[..8].copy_from_slice(&id.to_be_bytes());
        let mut buffer = [0; 2048];
        let mut writer = Writer::new(&mut buffer, class, method, TransactionId(transaction));
        write(&mut writer);
        self.packet(writer.finish().into())
    }

    /// These bytes from this client.
    pub fn packet(&self, bytes: std::rc::Rc<[u8]>) -> Packet {
        Packet { at: At::Listener(self.listener), from: self.address, bytes }
    }
}

/// Writes the attributes of a message.
pub type Attributes<'a> = &'a dyn Fn(&mut Writer<'_>);

/// The password of the static user.
pub fn static_user() -> relay_core::StaticUser {
    relay_core::StaticUser { name: USER.to_owned(), password: PASSWORD.to_owned() }
}
