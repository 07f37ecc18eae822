//! Nonces without a table: each says when it was made, and proves for whom.

use super::Client;
use data_encoding::BASE64URL_NOPAD;
use heliograph_base::Time;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::net::IpAddr;
use std::time::Duration;

const TIME_BYTES: usize = 4;
const MAC_BYTES: usize = 8;

/// The length of a nonce's text.
pub(super) const NONCE_BYTES: usize = 16;

/// Makes and checks nonces: base64 of the time in seconds (4 bytes) and a MAC (8 bytes) over time,
/// client address and listener.
#[derive(Debug)]
pub(super) struct Nonces {
    keyed: Hmac<Sha1>,
    lifetime: Duration,
}

impl Nonces {
    pub(super) fn new(key: &[u8], lifetime: Duration) -> Self {
        let keyed = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        Self { keyed, lifetime }
    }

    /// A nonce for `client` that is good from `now` on.
    pub(super) fn make(&self, now: Time, client: Client) -> [u8; NONCE_BYTES] {
        // Wraps after 136 years.
        let time = (now.since_start().as_secs() as u32).to_be_bytes();
        let mut raw = [0; TIME_BYTES + MAC_BYTES];
        raw[..TIME_BYTES].copy_from_slice(&time);
        raw[TIME_BYTES..]
            .copy_from_slice(&self.mac(time, client).finalize().into_bytes()[..MAC_BYTES]);
        let mut text = [0; NONCE_BYTES];
        BASE64URL_NOPAD.encode_mut(&raw, &mut text);
        text
    }

    /// Whether `nonce` was made here, for this client, and not too long ago.
    pub(super) fn is_good(&self, now: Time, client: Client, nonce: &[u8]) -> bool {
        let mut raw = [0; TIME_BYTES + MAC_BYTES];
        if nonce.len() != NONCE_BYTES || BASE64URL_NOPAD.decode_mut(nonce, &mut raw).is_err() {
            return false;
        }
        let (time, mac) = raw.split_at(TIME_BYTES);
        let time = [time[0], time[1], time[2], time[3]];
        let made = Duration::from_secs(u32::from_be_bytes(time).into());
        let age = now.since_start().checked_sub(made);
        age.is_some_and(|age| age < self.lifetime)
            && self.mac(time, client).verify_truncated_left(mac).is_ok()
    }

    fn mac(&self, time: [u8; TIME_BYTES], client: Client) -> Hmac<Sha1> {
        let mut mac = self.keyed.clone();
        mac.update(&time);
        mac.update(&client.listener.0.to_be_bytes());
        mac.update(&client.address.port().to_be_bytes());
        match client.address.ip() {
            IpAddr::V4(v4) => mac.update(&v4.octets()),
            IpAddr::V6(v6) => mac.update(&v6.octets()),
        }
        mac
    }
}
