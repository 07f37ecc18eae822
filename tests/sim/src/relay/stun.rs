//! STUN written a second time, for clients and the oracle: so that they don't share a mistake with
//! the relay's own codec. MD5 keys only; IPv6 is read, and not written.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use sha1::Sha1;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// RFC 8489 §5.
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

const HEADER_BYTES: usize = 20;

pub(crate) const BINDING: u16 = 0x001;
pub(crate) const ALLOCATE: u16 = 0x003;
pub(crate) const REFRESH: u16 = 0x004;
pub(crate) const SEND: u16 = 0x006;
pub(crate) const DATA: u16 = 0x007;
pub(crate) const CREATE_PERMISSION: u16 = 0x008;
pub(crate) const CHANNEL_BIND: u16 = 0x009;

pub(crate) const ERROR_CODE: u16 = 0x0009;
pub(crate) const USERNAME: u16 = 0x0006;
pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
pub(crate) const CHANNEL_NUMBER: u16 = 0x000c;
pub(crate) const LIFETIME: u16 = 0x000d;
pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
pub(crate) const DATA_ATTRIBUTE: u16 = 0x0013;
pub(crate) const REALM: u16 = 0x0014;
pub(crate) const NONCE: u16 = 0x0015;
pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub(crate) const REQUESTED_TRANSPORT: u16 = 0x0019;
pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

pub(crate) type Transaction = [u8; 12];

/// The key of long-term credentials. RFC 8489 §9.2.2.
pub(crate) type Key = [u8; 16];

pub(crate) fn key(user: &str, realm: &str, password: &str) -> Key {
    Md5::digest(format!("{user}:{realm}:{password}")).into()
}

/// A message that was read.
pub(crate) struct Stun<'a> {
    pub(crate) method: u16,
    pub(crate) class: Class,
    pub(crate) transaction: Transaction,
    /// Those that count: up to MESSAGE-INTEGRITY.
    attributes: Vec<(u16, &'a [u8])>,
    bytes: &'a [u8],
    /// Where MESSAGE-INTEGRITY begins.
    signed_at: Option<usize>,
}

impl<'a> Stun<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let [high, low, length_high, length_low, ..] = *header;
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        if high >> 6 != 0 || header[4..8] != COOKIE || HEADER_BYTES + length != bytes.len() {
            return None;
        }
        let kind = u16::from_be_bytes([high, low]);
        let class = match kind & 0x110 {
            0x000 => Class::Request,
            0x010 => Class::Indication,
            0x100 => Class::Success,
            _ => Class::Error,
        };
        let mut message = Self {
            method: (kind & 0xf) | (kind & 0xe0) >> 1 | (kind & 0x3e00) >> 2,
            class,
            transaction: header[8..].try_into().ok()?,
            attributes: Vec::new(),
            bytes,
            signed_at: None,
        };
        let mut at = HEADER_BYTES;
        while at < bytes.len() {
            let [k0, k1, l0, l1] = *bytes[at..].first_chunk()?;
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let value = bytes.get(at + 4..at + 4 + length)?;
            let kind = u16::from_be_bytes([k0, k1]);
            if kind == MESSAGE_INTEGRITY {
                message.signed_at = (length == 20).then_some(at);
                break;
            }
            message.attributes.push((kind, value));
            at += 4 + length.next_multiple_of(4);
        }
        Some(message)
    }

    pub(crate) fn find(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes.iter().find(|(it, _)| *it == kind).map(|(_, value)| *value)
    }

    pub(crate) fn addresses(&self, kind: u16) -> impl Iterator<Item = SocketAddr> {
        let all = self.attributes.iter().filter(move |(it, _)| *it == kind);
        all.filter_map(|(_, value)| xor_address(value, self.transaction))
    }

    pub(crate) fn address(&self, kind: u16) -> Option<SocketAddr> {
        self.addresses(kind).next()
    }

    /// LIFETIME.
    pub(crate) fn lifetime_s(&self) -> Option<u32> {
        self.find(LIFETIME)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// CHANNEL-NUMBER.
    pub(crate) fn channel(&self) -> Option<u16> {
        let &[high, low, ..] = self.find(CHANNEL_NUMBER)? else { return None };
        Some(u16::from_be_bytes([high, low]))
    }

    /// ERROR-CODE.
    pub(crate) fn error(&self) -> Option<u16> {
        let &[_, _, class, number, ..] = self.find(ERROR_CODE)? else { return None };
        Some(u16::from(class) * 100 + u16::from(number))
    }

    pub(crate) fn is_signed_with(&self, key: &Key) -> bool {
        let Some(at) = self.signed_at else { return false };
        self.bytes.get(at + 4..at + 24) == Some(&mac(key, &self.bytes[..at]))
    }
}

/// Leaves out the bytes.
impl fmt::Debug for Stun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, class, .. } = self;
        write!(f, "{class:?} {method:#x}, error {:?}", self.error())
    }
}

/// A message that is written.
#[derive(Debug)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    pub(crate) fn new(method: u16, class: Class, transaction: Transaction) -> Self {
        let class = match class {
            Class::Request => 0x000,
            Class::Indication => 0x010,
            Class::Success => 0x100,
            Class::Error => 0x110,
        };
        let kind = class | (method & 0xf) | (method & 0x70) << 1 | (method & 0xf80) << 2;
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(COOKIE);
        bytes.extend(transaction);
        Self { bytes }
    }

    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend((value.len() as u16).to_be_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn with_address(self, kind: u16, address: SocketAddr) -> Self {
        let SocketAddr::V4(address) = address else { panic!("{address} is not of IPv4") };
        let [p0, p1] = address.port().to_be_bytes();
        let [a, b, c, d] = address.ip().octets();
        let [x0, x1, x2, x3] = COOKIE;
        self.with(kind, &[0, 1, p0 ^ x0, p1 ^ x1, a ^ x0, b ^ x1, c ^ x2, d ^ x3])
    }

    pub(crate) fn sign(self, key: &Key) -> Self {
        let mac = mac(key, &self.bytes);
        self.with(MESSAGE_INTEGRITY, &mac)
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let length = (self.bytes.len() - HEADER_BYTES) as u16;
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
        self.bytes
    }
}

/// Appends an attribute to a finished message.
pub(crate) fn append(bytes: &[u8], kind: u16, value: &[u8]) -> Vec<u8> {
    Builder { bytes: bytes.to_vec() }.with(kind, value).finish()
}

/// A ChannelData message: number and data.
pub(crate) fn channel_data(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (&[n0, n1, l0, l1], rest) = bytes.split_first_chunk()?;
    let (number, length) = (u16::from_be_bytes([n0, n1]), u16::from_be_bytes([l0, l1]));
    let is_whole = (usize::from(length)..usize::from(length) + 4).contains(&rest.len());
    let is_one = number >> 14 == 1 && is_whole;
    is_one.then(|| (number, &rest[..usize::from(length)]))
}

pub(crate) fn write_channel_data(channel: u16, data: &[u8]) -> Vec<u8> {
    [&channel.to_be_bytes(), &(data.len() as u16).to_be_bytes(), data].concat()
}

/// RFC 8489 §14.2.
fn xor_address(value: &[u8], transaction: Transaction) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], address) = value.split_first_chunk()?;
    let key = COOKIE.into_iter().chain(transaction);
    let octets: Vec<u8> = address.iter().zip(key).map(|(byte, key)| byte ^ key).collect();
    let ip = match (family, address.len()) {
        (1, 4) => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
        (2, 16) => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
        _ => return None,
    };
    let [x0, x1, ..] = COOKIE;
    Some(SocketAddr::new(ip, u16::from_be_bytes([p0 ^ x0, p1 ^ x1])))
}

/// Of all before MESSAGE-INTEGRITY, with a length as if that was the last attribute.
fn mac(key: &Key, before: &[u8]) -> [u8; 20] {
    let length = (before.len() - HEADER_BYTES + 24) as u16;
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(&before[..2]);
    mac.update(&length.to_be_bytes());
    mac.update(&before[4..]);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::wire;

    #[test]
    fn both_codecs_read_each_other() {
        let peer = SocketAddr::from(([9, 8, 7, 6], 543));
        let bytes = Builder::new(ALLOCATE, Class::Request, [3; 12])
            .with(USERNAME, b"ada")
            .with_address(XOR_PEER_ADDRESS, peer)
            .sign(&key("ada", "here", "secret"))
            .finish();
        let message = wire::Message::parse(&bytes).unwrap();
        assert_eq!((message.method_number(), message.class()), (ALLOCATE, wire::Class::Request));
        assert!(message.is_signed_with(&wire::Key::long_term("ada", "here", "secret")));
        let ours = Stun::read(&bytes).unwrap();
        assert_eq!((ours.method, ours.class), (ALLOCATE, Class::Request));
        assert_eq!(ours.address(XOR_PEER_ADDRESS), Some(peer));
        assert!(ours.is_signed_with(&key("ada", "here", "secret")));
        assert!(!ours.is_signed_with(&key("ada", "here", "Secret")));
    }
}
