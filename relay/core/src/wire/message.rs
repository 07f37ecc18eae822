//! Reading a STUN message. RFC 8489 §5, §14.

use super::integrity::{
    self, FINGERPRINT_BYTES, INTEGRITY_BYTES, INTEGRITY_SHA256_BYTES, INTEGRITY_SHA256_BYTES_MIN,
};
use super::{HEADER_BYTES, Key, MAGIC_COOKIE, Malformed, attribute};

/// Whether a message asks, tells or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Never gets an answer.
    Indication,
    /// The answer that it was done.
    Success,
    /// The answer that it was not.
    Error,
}

impl Class {
    /// Its two bits in the message type. RFC 8489 §5.
    const fn bits(self) -> u16 {
        match self {
            Self::Request => 0x000,
            Self::Indication => 0x010,
            Self::Success => 0x100,
            Self::Error => 0x110,
        }
    }
}

/// The 96 bits that tie an answer to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionId(pub [u8; 12]);

/// A well-formed STUN message; borrows the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    /// Where the attributes that count end: at MESSAGE-INTEGRITY, its SHA-256 sibling or
    /// FINGERPRINT, or with the message.
    end: usize,
    /// Where MESSAGE-INTEGRITY begins.
    integrity_at: Option<usize>,
    /// Where MESSAGE-INTEGRITY-SHA256 begins, and how long its value is.
    integrity_sha256: Option<(usize, usize)>,
    has_fingerprint: bool,
}

impl<'a> Message<'a> {
    /// Reads a message, which is all of `bytes`, and checks its structure and its FINGERPRINT, not
    /// its MESSAGE-INTEGRITY: see [`Self::is_signed_with`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check_header(bytes)?;
        let mut message = Self {
            bytes,
            end: bytes.len(),
            integrity_at: None,
            integrity_sha256: None,
            has_fingerprint: false,
        };
        let mut at = HEADER_BYTES;
        while at < bytes.len() {
            let (kind, value, next) = attribute_at(bytes, at).ok_or(Malformed::Attribute)?;
            if kind == attribute::FINGERPRINT {
                check_fingerprint(&bytes[..at], value, next == bytes.len())?;
                message.has_fingerprint = true;
                message.end = message.end.min(at);
            } else if kind == attribute::MESSAGE_INTEGRITY && !message.has_integrity() {
                if value.len() != INTEGRITY_BYTES {
                    return Err(Malformed::Integrity);
                }
                message.integrity_at = Some(at);
                message.end = at;
            } else if kind == attribute::MESSAGE_INTEGRITY_SHA256
                && message.integrity_sha256.is_none()
            {
                let lengths = INTEGRITY_SHA256_BYTES_MIN..=INTEGRITY_SHA256_BYTES;
                if !lengths.contains(&value.len()) || !value.len().is_multiple_of(4) {
                    return Err(Malformed::Integrity);
                }
                message.integrity_sha256 = Some((at, value.len()));
                message.end = message.end.min(at);
            }
            at = next;
        }
        Ok(message)
    }

    /// All of it, as it was read.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether it asks, tells or answers.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.message_type() & 0x110 {
            0x000 => Class::Request,
            0x010 => Class::Indication,
            0x100 => Class::Success,
            _ => Class::Error,
        }
    }

    /// The 12 bits of the method, known or not.
    #[must_use]
    pub fn method_number(&self) -> u16 {
        let bits = self.message_type();
        (bits & 0x000f) | (bits & 0x00e0) >> 1 | (bits & 0x3e00) >> 2
    }

    /// The transaction id.
    #[must_use]
    pub fn transaction(&self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.bytes[8..HEADER_BYTES]);
        TransactionId(id)
    }

    /// The attributes that count, in order: those before MESSAGE-INTEGRITY, its SHA-256 sibling
    /// and FINGERPRINT.
    ///
    /// RFC 8489 §14.5: "With the exception of the MESSAGE-INTEGRITY-SHA256 and FINGERPRINT
    /// attributes, which appear after MESSAGE-INTEGRITY, agents MUST ignore all other attributes
    /// that follow MESSAGE-INTEGRITY." §14.6 says the same of MESSAGE-INTEGRITY-SHA256.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { bytes: &self.bytes[..self.end], at: HEADER_BYTES }
    }

    /// Whether there is a MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256, right or wrong.
    #[must_use]
    pub const fn has_integrity(&self) -> bool {
        self.integrity_at.is_some() || self.integrity_sha256.is_some()
    }

    /// Whether MESSAGE-INTEGRITY-SHA256 is there, but cut short.
    #[must_use]
    pub fn has_truncated_integrity(&self) -> bool {
        self.integrity_sha256.is_some_and(|(_, length)| length < INTEGRITY_SHA256_BYTES)
    }

    /// Whether there is a FINGERPRINT; if so it is right.
    #[must_use]
    pub const fn has_fingerprint(&self) -> bool {
        self.has_fingerprint
    }

    /// Whether it was signed with `key`: if MESSAGE-INTEGRITY-SHA256 is there only that counts,
    /// else MESSAGE-INTEGRITY. RFC 8489 §9.2.4.
    #[must_use]
    pub fn is_signed_with(&self, key: &Key) -> bool {
        if let Some((at, length)) = self.integrity_sha256 {
            let (message, rest) = self.bytes.split_at(at);
            return integrity::integrity_sha256_matches(key, message, &rest[4..4 + length]);
        }
        let Some(at) = self.integrity_at else {
            return false;
        };
        let (message, rest) = self.bytes.split_at(at);
        integrity::integrity_matches(key, message, &rest[4..4 + INTEGRITY_BYTES])
    }

    fn message_type(&self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }
}

/// The first two bytes of a message.
pub(super) const fn message_type(class: Class, method_number: u16) -> u16 {
    let bits = method_number;
    class.bits() | (bits & 0x00f) | (bits & 0x070) << 1 | (bits & 0xf80) << 2
}

fn check_header(bytes: &[u8]) -> Result<(), Malformed> {
    let Some((header, attributes)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(Malformed::Short);
    };
    if header[0] & 0xc0 != 0 {
        return Err(Malformed::Type);
    }
    if header[4..8] != MAGIC_COOKIE.to_be_bytes() {
        return Err(Malformed::Cookie);
    }
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if length % 4 != 0 {
        return Err(Malformed::Length);
    }
    match attributes.len().cmp(&length) {
        std::cmp::Ordering::Less => Err(Malformed::Short),
        std::cmp::Ordering::Greater => Err(Malformed::Trailing),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

fn check_fingerprint(before: &[u8], value: &[u8], is_last: bool) -> Result<(), Malformed> {
    let is_right = is_last
        && value.len() == FINGERPRINT_BYTES
        && value == integrity::fingerprint(before).to_be_bytes();
    if is_right { Ok(()) } else { Err(Malformed::Fingerprint) }
}

/// Type, value and the place of the next attribute; nothing if this one reaches beyond the end.
fn attribute_at(bytes: &[u8], at: usize) -> Option<(u16, &[u8], usize)> {
    let [k0, k1, l0, l1] = *bytes.get(at..)?.first_chunk()?;
    let start = at + 4;
    let end = start + usize::from(u16::from_be_bytes([l0, l1]));
    let next = end.next_multiple_of(4);
    if next > bytes.len() {
        return None;
    }
    Some((u16::from_be_bytes([k0, k1]), &bytes[start..end], next))
}

/// The attributes of a message, one after the other: type and value.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, value, next) = attribute_at(self.bytes, self.at)?;
        self.at = next;
        Some((kind, value))
    }
}
