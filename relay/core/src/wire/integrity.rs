//! MESSAGE-INTEGRITY and FINGERPRINT. RFC 8489 §14.5, §14.7.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use std::fmt;

pub(super) const INTEGRITY_BYTES: usize = 20;
pub(super) const FINGERPRINT_BYTES: usize = 4;
const FINGERPRINT_MASK: u32 = 0x5354_554e;

/// The key of MESSAGE-INTEGRITY. It does not print itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; 16],
}

impl Key {
    /// The key of a long-term credential: MD5(username ":" realm ":" password).
    ///
    /// The texts are taken as they stand: no OpaqueString preparation, which changes no ASCII text.
    ///
    /// RFC 8489 §9.2.2, §18.5.1.1.
    #[must_use]
    pub fn long_term(username: &str, realm: &str, password: &str) -> Self {
        let mut md5 = Md5::new();
        for part in [username, ":", realm, ":", password] {
            md5.update(part.as_bytes());
        }
        Self { bytes: md5.finalize().into() }
    }

    fn hmac(&self) -> Hmac<Sha1> {
        Hmac::new_from_slice(&self.bytes).expect("HMAC takes keys of any length")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// The MAC over the message up to MESSAGE-INTEGRITY, as if that attribute were its last.
pub(super) fn integrity(key: &Key, message: &[u8]) -> [u8; INTEGRITY_BYTES] {
    keyed(key, message).finalize().into_bytes().into()
}

/// Whether `expected` is that MAC; takes the same time wherever they differ.
pub(super) fn integrity_matches(key: &Key, message: &[u8], expected: &[u8]) -> bool {
    keyed(key, message).verify_slice(expected).is_ok()
}

fn keyed(key: &Key, message: &[u8]) -> Hmac<Sha1> {
    let mut hmac = key.hmac();
    hmac.update(&message[..2]);
    hmac.update(&length_field(message, INTEGRITY_BYTES));
    hmac.update(&message[4..]);
    hmac
}

/// The FINGERPRINT of a message, which is everything before that attribute, its header saying that
/// it is included.
pub(super) fn fingerprint(message: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&message[..2]);
    crc.update(&length_field(message, FINGERPRINT_BYTES));
    crc.update(&message[4..]);
    crc.finalize() ^ FINGERPRINT_MASK
}

/// What the length field of `message` says with one more attribute of `value_bytes`.
fn length_field(message: &[u8], value_bytes: usize) -> [u8; 2] {
    let length = message.len() - super::HEADER_BYTES + 4 + value_bytes;
    u16::try_from(length).expect("a message fits its length field").to_be_bytes()
}
