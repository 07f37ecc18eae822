//! Time-limited TURN credentials: the signal half mints them, the relay half checks them, no state
//! is shared.
//!
//! The form is the one that browsers' back ends and other TURN servers use ("A REST API For Access
//! To TURN Services", draft-uberti-behave-turn-rest): `username = expiry ":" holder`, `password =
//! base64(HMAC-SHA1(secret, username))`.

use crate::{Secret, UnixTime};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::fmt;

/// A TURN username and the password that goes with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `expiry:holder`, see [`Username`].
    pub username: String,
    /// Base64 with padding, 28 characters.
    pub password: String,
    /// The first second at which the relay refuses them.
    pub expires: UnixTime,
}

impl Credentials {
    /// Mints credentials that are good until `expires`. `holder` says whose they are; for a seat it
    /// is a [`SeatName`].
    #[must_use]
    pub fn mint(secret: &Secret, expires: UnixTime, holder: impl fmt::Display) -> Self {
        let username = format!("{}:{holder}", expires.seconds);
        let password = password(secret, &username);
        Self { username, password, expires }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The password that belongs to `username` under `secret`, whether or not the username has expired.
#[must_use]
pub fn password(secret: &Secret, username: &str) -> String {
    let mut buffer = [0; PASSWORD_BYTES];
    password_into(secret, username, &mut buffer).to_owned()
}

/// The same without the heap, for who is asked by strangers.
pub fn password_into<'b>(
    secret: &Secret,
    username: &str,
    buffer: &'b mut [u8; PASSWORD_BYTES],
) -> &'b str {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.bytes()).expect("HMAC takes keys of any length");
    mac.update(username.as_bytes());
    data_encoding::BASE64.encode_mut(&mac.finalize().into_bytes(), buffer);
    str::from_utf8(buffer).expect("base64 is ASCII")
}

/// How long every password is: base64 of the 20 bytes of HMAC-SHA1.
pub const PASSWORD_BYTES: usize = 28;

/// A time-limited username, taken apart: decimal seconds since 1970, then optionally a colon and
/// the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Username<'a> {
    /// The first second at which the credentials are refused.
    pub expires: UnixTime,
    /// Whose they are; empty if the username is only a number.
    pub holder: &'a str,
}

impl<'a> Username<'a> {
    /// Takes `text` apart; nothing if it doesn't begin with a number that ends at a colon or at the
    /// end.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (number, holder) = text.split_once(':').unwrap_or((text, ""));
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self { expires: UnixTime::from_seconds(number.parse().ok()?), holder })
    }
}

/// The holder in the credentials of a seat: `room:peer:seat`, of which none contains a colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeatName<'a> {
    /// The room's id.
    pub room: &'a str,
    /// The peer's id in the room.
    pub peer: &'a str,
    /// The number of this stay of the peer in the room; never used twice by one process.
    pub seat: u64,
}

impl<'a> SeatName<'a> {
    /// Reads a holder; nothing if it has another form, such as a name that an operator chose.
    #[must_use]
    pub fn parse(holder: &'a str) -> Option<Self> {
        let mut parts = holder.split(':');
        let (room, peer, seat) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || room.is_empty() || peer.is_empty() {
            return None;
        }
        Some(Self { room, peer, seat: seat.parse().ok()? })
    }
}

impl fmt::Display for SeatName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.room, self.peer, self.seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::from_text("north").unwrap()
    }

    /// Made with `printf %s 1700000000:alice | openssl dgst -sha1 -hmac north -binary | base64`.
    #[test]
    fn the_password_is_what_other_turn_servers_compute() {
        let minted = Credentials::mint(&secret(), UnixTime::from_seconds(1_700_000_000), "alice");
        assert_eq!(minted.username, "1700000000:alice");
        assert_eq!(minted.password, "Cd/49soE35ICqcJF/bCTn8Z4OyE=");
    }

    #[test]
    fn a_username_says_when_it_expires_and_whose_it_is() {
        let parse = |text| Username::parse(text).map(|name| (name.expires.seconds, name.holder));
        assert_eq!(parse("1700000000:a:b"), Some((1_700_000_000, "a:b")));
        assert_eq!(parse("1700000000"), Some((1_700_000_000, "")));
        for wrong in ["", ":", "alice", "-1:a", "+1:a", "1 :a", "99999999999999999999999:a"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_seat_name_reads_back() {
        let name = SeatName { room: "demo", peer: "p1", seat: 7 };
        assert_eq!(SeatName::parse(&name.to_string()), Some(name));
        for wrong in ["alice", "a:b", "a:b:c", "a:b:1:2", ":b:1", "a::1"] {
            assert_eq!(SeatName::parse(wrong), None, "{wrong:?}");
        }
    }
}
