//! Nonces without a table: each says when it was made, and proves for whom.

use super::Client;
use crate::Config;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use heliograph_base::Time;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::net::IpAddr;

/// How the nonces of a server begin that obeys RFC 8489. §9.2.
const COOKIE: [u8; 9] = *b"obMatJos2";

/// How many characters follow it for 24 security feature bits.
const FEATURES_BYTES: usize = 4;

/// PASSWORD-ALGORITHMS comes with the nonce. RFC 8489 §18.1: "Bits are assigned starting from the
/// most significant side of the bit set, so Bit 0 is the leftmost bit"; the example of RFC 8656 §20
/// has it so ("gAAA"), the test vector of RFC 8489 the other way.
const PASSWORD_ALGORITHMS: u8 = 1 << 7;

/// The client names itself by USERHASH.
const USERNAME_ANONYMITY: u8 = 1 << 6;

const PREFIX_BYTES: usize = COOKIE.len() + FEATURES_BYTES;

/// Seconds, of which only the last 18 hours are told apart: keys don't live as long.
const TIME_BYTES: usize = 2;

/// What is guessed right once in 2^48 saves the guesser one round trip: it is no password.
const MAC_BYTES: usize = 6;

/// The characters for time and MAC.
const TAIL_BYTES: usize = 11;

/// The length of a nonce's text; a multiple of 4, so that it needs no padding.
pub(super) const NONCE_BYTES: usize = PREFIX_BYTES + TAIL_BYTES;

/// Makes and checks nonces: the nonce cookie, security feature bits, and base64 of the time in
/// seconds (2 bytes) and a MAC (6 bytes) over time, client address and listener.
///
/// The key of the MAC changes once in a nonce's lifetime, and the one before stays good. Both come
/// from the worker's seed, so nobody has to roll dice for them.
#[derive(Debug)]
pub(super) struct Nonces {
    seed: [u8; 20],
    lifetime_s: u64,
    prefix: [u8; PREFIX_BYTES],
    /// How many times the key changed.
    epoch: u64,
    current: Hmac<Sha1>,
    previous: Hmac<Sha1>,
}

impl Nonces {
    pub(super) fn new(seed: [u8; 20], config: &Config) -> Self {
        // RFC 8489 §9.2.5: "If the "nonce cookie" is present and has the STUN Security Feature
        // "Username anonymity" bit set to 1, then the USERHASH attribute MUST be used". Of a
        // time-limited username nobody keeps the hash, so it isn't set where there can be one.
        let anonymity = if config.secrets.is_empty() { USERNAME_ANONYMITY } else { 0 };
        let mut prefix = [0; PREFIX_BYTES];
        let (cookie, features) = prefix.split_at_mut(COOKIE.len());
        cookie.copy_from_slice(&COOKIE);
        BASE64.encode_mut(&[PASSWORD_ALGORITHMS | anonymity, 0, 0], features);
        Self {
            seed,
            lifetime_s: config.nonce_lifetime.as_secs(),
            prefix,
            epoch: 0,
            current: key(&seed, 0),
            previous: key(&seed, 0),
        }
    }

    /// Changes the keys if it is time to; call before the others.
    pub(super) fn rotate(&mut self, now: Time) {
        let epoch = now.since_start().as_secs() / self.lifetime_s;
        if epoch != self.epoch {
            self.epoch = epoch;
            self.current = key(&self.seed, epoch);
            self.previous = key(&self.seed, epoch.saturating_sub(1));
        }
    }

    /// A nonce for `client` that is good from `now` on.
    pub(super) fn make(&self, now: Time, client: Client) -> [u8; NONCE_BYTES] {
        let time = (now.since_start().as_secs() as u16).to_be_bytes();
        let mac = mac(&self.current, time, client).finalize().into_bytes();
        let mut raw = [0; TIME_BYTES + MAC_BYTES];
        raw[..TIME_BYTES].copy_from_slice(&time);
        raw[TIME_BYTES..].copy_from_slice(&mac[..MAC_BYTES]);
        let mut text = [0; NONCE_BYTES];
        text[..PREFIX_BYTES].copy_from_slice(&self.prefix);
        BASE64URL_NOPAD.encode_mut(&raw, &mut text[PREFIX_BYTES..]);
        text
    }

    /// Whether `nonce` was made here, with these security features, for this client, and not too
    /// long ago. The MAC is compared in constant time.
    pub(super) fn is_good(&self, now: Time, client: Client, nonce: &[u8]) -> bool {
        let Some(tail) = nonce.strip_prefix(&self.prefix) else {
            return false;
        };
        let mut raw = [0; TIME_BYTES + MAC_BYTES];
        if tail.len() != TAIL_BYTES || BASE64URL_NOPAD.decode_mut(tail, &mut raw).is_err() {
            return false;
        }
        let ([t0, t1], claimed) = ([raw[0], raw[1]], &raw[TIME_BYTES..]);
        let now_s = now.since_start().as_secs();
        let age_s = u64::from((now_s as u16).wrapping_sub(u16::from_be_bytes([t0, t1])));
        if age_s > now_s || age_s >= self.lifetime_s {
            return false;
        }
        let is_current = (now_s - age_s) / self.lifetime_s == self.epoch;
        let key = if is_current { &self.current } else { &self.previous };
        mac(key, [t0, t1], client).verify_truncated_left(claimed).is_ok()
    }
}

fn key(seed: &[u8; 20], epoch: u64) -> Hmac<Sha1> {
    let mut hmac = Hmac::<Sha1>::new_from_slice(seed).expect("HMAC takes keys of any length");
    hmac.update(&epoch.to_be_bytes());
    Hmac::new_from_slice(&hmac.finalize().into_bytes()).expect("HMAC takes keys of any length")
}

fn mac(key: &Hmac<Sha1>, time: [u8; TIME_BYTES], client: Client) -> Hmac<Sha1> {
    let mut mac = key.clone();
    mac.update(&time);
    mac.update(&client.listener.0.to_be_bytes());
    mac.update(&client.address.port().to_be_bytes());
    match client.address.ip() {
        IpAddr::V4(v4) => mac.update(&v4.octets()),
        IpAddr::V6(v6) => mac.update(&v6.octets()),
    }
    mac
}
