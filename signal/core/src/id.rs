//! The names of rooms and peers.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// The longest room or peer id, in bytes.
pub const ID_BYTES_MAX: usize = 64;

/// Why a text is no room or peer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to {ID_BYTES_MAX} of the characters A-Z a-z 0-9 . _ ~ -")]
pub struct BadId;

/// The id of a room: 1 to 64 of the characters that a URL path holds without escapes (RFC 3986
/// "unreserved").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(Arc<str>);

/// The id of a peer in its room; the same alphabet as a [`RoomId`]. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(Arc<str>);

impl RoomId {
    /// Takes a text as it stands.
    ///
    /// # Errors
    /// [`BadId`] if it is empty, too long, or has another character.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        check(text).map(|text| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PeerId {
    /// Takes a text as it stands.
    ///
    /// # Errors
    /// [`BadId`] if it is empty, too long, or has another character.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        check(text).map(|text| Self(text.into()))
    }

    /// Makes an id of 80 random bits: 16 lower-case letters and digits, not to be guessed and never
    /// met twice.
    #[must_use]
    pub fn from_random(random: [u8; 10]) -> Self {
        let mut text = data_encoding::BASE32_NOPAD.encode(&random);
        text.make_ascii_lowercase();
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// By what a client asks for one seat, however often it must ask: 16 to 64 characters of the
/// alphabet of a [`RoomId`], chosen at random.
#[derive(Clone, PartialEq, Eq)]
pub struct Once(Arc<str>);

/// A text that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"once\" has {ONCE_BYTES_MIN} to {ID_BYTES_MAX} of the characters A-Z a-z 0-9 . _ ~ -")]
pub struct BadOnce;

/// Too many for two clients to choose the same.
const ONCE_BYTES_MIN: usize = 16;

impl Once {
    /// Takes a text as it stands.
    ///
    /// # Errors
    /// [`BadOnce`] if it is too short, too long, or has another character.
    pub fn parse(text: &str) -> Result<Self, BadOnce> {
        let checked = check(text).ok().filter(|text| text.len() >= ONCE_BYTES_MIN);
        checked.map(|text| Self(text.into())).ok_or(BadOnce)
    }
}

/// Shows nothing: who knows it could take the seat back.
impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}

/// What a peer is to its room, such as `host`, as its token says: 1 to 32 characters of the
/// alphabet of a [`RoomId`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Role(Arc<str>);

impl Role {
    /// The longest one, in bytes.
    pub const BYTES_MAX: usize = 32;

    /// Takes a text as it stands.
    ///
    /// # Errors
    /// [`BadId`] if it is empty, too long, or has another character.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        if text.len() > Self::BYTES_MAX {
            return Err(BadId);
        }
        check(text).map(|text| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which session it is, as the client is told: the room and the peer id. With it any edge finds the
/// hub; what shows that it is one's own is the [`SessionKey`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionName {
    /// The room.
    pub room: RoomId,
    /// The peer.
    pub peer: PeerId,
}

impl SessionName {
    /// Takes a text as the client was told it.
    ///
    /// # Errors
    /// [`BadId`] if it is no such text.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let (room, peer) = text.split_once(':').ok_or(BadId)?;
        Ok(Self { room: RoomId::parse(room)?, peer: PeerId::parse(peer)? })
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.room, self.peer)
    }
}

/// What shows that a session is one's own: 128 random bits. Doesn't show itself in logs, and
/// compares in constant time.
#[derive(Clone, Copy)]
pub struct SessionKey([u8; 16]);

impl SessionKey {
    /// A key of good randomness.
    #[must_use]
    pub const fn from_random(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// Takes a text as the client was told it.
    ///
    /// # Errors
    /// [`BadId`] if it is no such text.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let bytes = KEY_TEXT.decode(text.as_bytes()).map_err(|_| BadId)?;
        bytes.try_into().map(Self).map_err(|_| BadId)
    }

    /// The text that the client is told.
    #[must_use]
    pub fn text(&self) -> String {
        KEY_TEXT.encode(&self.0)
    }

    /// Whether both are the same.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Letters and digits that a URL holds without escapes.
const KEY_TEXT: data_encoding::Encoding = data_encoding::BASE64URL_NOPAD;

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

impl Borrow<str> for RoomId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for PeerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check(text: &str) -> Result<&str, BadId> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    let fits = (1..=ID_BYTES_MAX).contains(&text.len());
    if fits && text.bytes().all(unreserved) { Ok(text) } else { Err(BadId) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_a_url_path_holds_without_escapes() {
        for good in ["a", "demo", "Room-1_2.3~4", &"x".repeat(64)] {
            assert_eq!(RoomId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "a:b", "ä", "a\n", "a%20", &"x".repeat(65)] {
            assert_eq!(RoomId::parse(bad), Err(BadId), "{bad:?}");
            assert_eq!(PeerId::parse(bad), Err(BadId), "{bad:?}");
        }
    }

    #[test]
    fn a_role_is_a_short_id() {
        assert_eq!(Role::parse(&"x".repeat(32)).unwrap().as_str().len(), 32);
        for bad in ["", "a b", &"x".repeat(33)] {
            assert_eq!(Role::parse(bad), Err(BadId), "{bad:?}");
        }
    }

    #[test]
    fn a_random_peer_id_is_an_id() {
        let id = PeerId::from_random([0xA7; 10]);
        assert_eq!(id.as_str().len(), 16);
        assert_eq!(PeerId::parse(id.as_str()), Ok(id));
    }
}
