//! MESSAGE-INTEGRITY, its SHA-256 sibling and FINGERPRINT, and the keys. RFC 8489 §14.5-14.7.

use super::PasswordAlgorithm;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use std::fmt;

pub(super) const INTEGRITY_BYTES: usize = 20;
pub(super) const INTEGRITY_SHA256_BYTES: usize = 32;
/// RFC 8489 §14.6: "The value will be at most 32 bytes, but it MUST be at least 16 bytes and MUST
/// be a multiple of 4 bytes."
pub(super) const INTEGRITY_SHA256_BYTES_MIN: usize = 16;
pub(super) const FINGERPRINT_BYTES: usize = 4;
const FINGERPRINT_MASK: u32 = 0x5354_554e;

/// The key of MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256. It does not print itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; 32],
    algorithm: PasswordAlgorithm,
}

impl Key {
    /// The key of a long-term credential: MD5(username ":" realm ":" password).
    ///
    /// The texts are taken as they stand: no OpaqueString preparation, which changes no ASCII text.
    ///
    /// RFC 8489 §9.2.2, §18.5.1.1.
    #[must_use]
    pub fn long_term(username: &str, realm: &str, password: &str) -> Self {
        Self::long_term_by(PasswordAlgorithm::Md5, username, realm, password)
    }

    /// The same, by MD5 or by SHA-256. RFC 8489 §18.5.1.
    #[must_use]
    pub fn long_term_by(
        algorithm: PasswordAlgorithm,
        username: &str,
        realm: &str,
        password: &str,
    ) -> Self {
        let parts = [username, ":", realm, ":", password];
        let mut bytes = [0; 32];
        match algorithm {
            PasswordAlgorithm::Md5 => bytes[..16].copy_from_slice(&digest::<Md5>(&parts)),
            PasswordAlgorithm::Sha256 => bytes.copy_from_slice(&digest::<Sha256>(&parts)),
        }
        Self { bytes, algorithm }
    }

    /// How it was made.
    #[must_use]
    pub const fn algorithm(&self) -> PasswordAlgorithm {
        self.algorithm
    }

    fn bytes(&self) -> &[u8] {
        match self.algorithm {
            PasswordAlgorithm::Md5 => &self.bytes[..16],
            PasswordAlgorithm::Sha256 => &self.bytes,
        }
    }
}

/// The value of USERHASH: SHA-256(username ":" realm), again of the texts as they stand. RFC 8489
/// §14.4.
#[must_use]
pub fn user_hash(username: &str, realm: &str) -> [u8; 32] {
    digest::<Sha256>(&[username, ":", realm]).into()
}

fn digest<D: Digest>(parts: &[&str]) -> md5::digest::Output<D> {
    let mut digest = D::new();
    for part in parts {
        digest.update(part.as_bytes());
    }
    digest.finalize()
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// The MAC over the message up to MESSAGE-INTEGRITY, as if that attribute were its last.
pub(super) fn integrity(key: &Key, message: &[u8]) -> [u8; INTEGRITY_BYTES] {
    keyed::<Hmac<Sha1>>(key, message, INTEGRITY_BYTES).finalize().into_bytes().into()
}

/// The same for MESSAGE-INTEGRITY-SHA256.
pub(super) fn integrity_sha256(key: &Key, message: &[u8]) -> [u8; INTEGRITY_SHA256_BYTES] {
    keyed::<Hmac<Sha256>>(key, message, INTEGRITY_SHA256_BYTES).finalize().into_bytes().into()
}

/// Whether `expected` is that MAC; takes the same time wherever they differ.
pub(super) fn integrity_matches(key: &Key, message: &[u8], expected: &[u8]) -> bool {
    keyed::<Hmac<Sha1>>(key, message, expected.len()).verify_slice(expected).is_ok()
}

/// Whether `expected` are the first bytes of the SHA-256 one, 16 of them or more.
pub(super) fn integrity_sha256_matches(key: &Key, message: &[u8], expected: &[u8]) -> bool {
    keyed::<Hmac<Sha256>>(key, message, expected.len()).verify_truncated_left(expected).is_ok()
}

fn keyed<M: Mac + KeyInit>(key: &Key, message: &[u8], value_bytes: usize) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(key.bytes()).expect("HMAC takes any key");
    mac.update(&message[..2]);
    mac.update(&length_field(message, value_bytes));
    mac.update(&message[4..]);
    mac
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
