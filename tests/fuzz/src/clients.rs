//! Who takes part in the programs: clients with their addresses, users and passwords, and peers.

use crate::model::Place;
use crate::world::{LISTENERS, REALM, SECRET, UNIX_START_S, address};
use heliograph_base::{SeatName, Secret, Username, password};
use relay_core::PeerPolicy;
use relay_core::wire::{Key, PasswordAlgorithm, Writer, attribute, user_hash};
use std::net::{IpAddr, SocketAddr};

/// Static users.
pub(crate) const STATIC: [&str; 2] = ["alice", "carol"];

/// Holders: two seats of one peer, of which one's credentials end soon, and one of another peer.
const ANN: &str = "1900000000:room:ann:1";
const ANN_SOON: &str = "1800003000:room:ann:2";
const BOB: &str = "1900000000:room:bob:3";

/// Every username.
pub(crate) const USERS: [&str; 5] = [STATIC[0], STATIC[1], ANN, ANN_SOON, BOB];

/// Clients: listener, address, user. The kernel brings those with ports from 5000 on to the second
/// worker.
pub(crate) const CLIENTS: [(u16, &str, &str); 15] = [
    (0, "1.1.1.1:1111", STATIC[0]),
    (0, "3.3.3.3:3333", STATIC[1]),
    (1, "[2001:db8::d]:4444", STATIC[0]),
    (2, "1.1.1.1:1111", STATIC[0]),
    (0, "1.1.1.1:1111", STATIC[1]),
    (0, "2.2.2.2:2222", STATIC[0]),
    (0, "5.5.5.5:5555", STATIC[0]),
    (0, "5.5.5.5:5555", STATIC[1]),
    (1, "[2001:db8:5::d]:6666", ANN),
    (0, "1.1.1.1:1119", ANN),
    (0, "5.5.5.6:5556", BOB),
    (0, "1.1.1.1:1118", ANN_SOON),
    (2, "1.1.1.1:1112", STATIC[0]),
    (2, "3.3.3.3:3334", STATIC[1]),
    (2, "5.5.5.5:5557", BOB),
];

/// Peers, those among them whom nobody may reach.
pub(crate) const PEERS: [&str; 16] = [
    "8.8.8.8:8888",
    "8.8.8.8:9999",
    "9.9.9.9:9999",
    "[2606:4700::1]:1",
    "[2606:4700::2]:65535",
    "10.0.0.1:80",
    "127.0.0.1:22",
    "169.254.169.254:80",
    "224.0.0.1:5353",
    "[::ffff:10.0.0.1]:80",
    "[::ffff:8.8.8.8]:8888",
    "[64:ff9b::7f00:1]:1",
    "198.51.100.1:3478",
    "[2001:db8::1]:3478",
    "8.8.4.4:0",
    "0.0.0.0:1",
];

pub(crate) fn place(who: usize) -> Place {
    let (listener, text, _) = CLIENTS[who];
    (listener, address(text))
}

/// Which worker the kernel brings a client to.
pub(crate) const fn worker_of(place: Place) -> usize {
    if place.1.port() < 5000 { 0 } else { 1 }
}

pub(crate) fn is_stream(place: Place) -> bool {
    LISTENERS[usize::from(place.0)].1.is_stream()
}

/// Whether a user with time-limited credentials has none any more.
pub(crate) fn has_expired(user: &str, elapsed_s: u64) -> bool {
    expires_s(user).is_some_and(|expires_s| UNIX_START_S + elapsed_s >= expires_s)
}

/// When the credentials of a holder end.
pub(crate) fn expires_s(user: &str) -> Option<u64> {
    Username::parse(user).map(|name| name.expires.seconds)
}

/// Whose allocations count together.
pub(crate) fn holder(user: &str) -> &str {
    Username::parse(user).map_or(user, |name| name.holder)
}

pub(crate) fn seat(user: &str) -> Option<SeatName<'_>> {
    Username::parse(user).and_then(|name| SeatName::parse(name.holder))
}

/// What quotas count as one source.
pub(crate) fn source(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

/// Whether packets may go to and come from this peer over the network.
pub(crate) fn may_be_peer(peer: SocketAddr) -> bool {
    let is_low = peer.port() < 1024 && peer.port() != 443;
    let is_listener = LISTENERS.iter().any(|(local, _)| address(local) == peer);
    PeerPolicy::default().permits(peer.ip()) && !is_low && !is_listener
}

/// Signs as a client of RFC 5389 does, or, by two of the bits, as one of RFC 8489.
pub(crate) fn sign(writer: &mut Writer<'_>, user: &str, nonce: &[u8], bits: u8) {
    let is_new = bits & 0x10 != 0;
    let password = match expires_s(user) {
        None => "secret".to_owned(),
        Some(_) => password(&Secret::from_text(SECRET).expect("a secret"), user),
    };
    if is_new && bits & 0x08 != 0 {
        writer.attribute(attribute::USERHASH, &user_hash(user, REALM));
    } else {
        writer.attribute(attribute::USERNAME, user.as_bytes());
    }
    writer.attribute(attribute::REALM, REALM.as_bytes());
    writer.attribute(attribute::NONCE, nonce);
    if !is_new {
        writer.integrity(&Key::long_term(user, REALM, &password));
        return;
    }
    let algorithm = PasswordAlgorithm::Sha256;
    writer.attribute(attribute::PASSWORD_ALGORITHMS, &PasswordAlgorithm::LIST);
    writer.attribute(attribute::PASSWORD_ALGORITHM, &PasswordAlgorithm::LIST[..4]);
    writer.integrity_sha256(&Key::long_term_by(algorithm, user, REALM, &password));
}
