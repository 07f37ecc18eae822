//! Which peer addresses clients may exchange packets with: one canonical form, one policy, asked by
//! every path.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::ParseIntError;
use std::str::FromStr;

/// What an operator opens and closes beside the safe default.
///
/// The default denies every address that isn't the public internet: private, loopback, link-local
/// (with the metadata services of clouds), documentation, translation and tunnel ranges. `deny`
/// beats `allow`, and `allow` beats the default. Multicast, broadcast and unspecified addresses
/// can't be allowed. The metadata services of clouds, and addresses of a network's own NAT64, are
/// allowed only by their own address, written alone or as /32 or /128, never by a range around
/// them: who opens 169.254.0.0/16 or 0.0.0.0/0 doesn't mean to give away the keys of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerPolicy {
    /// Ranges opened although the default denies them.
    pub allow: Vec<Cidr>,
    /// Ranges closed, whatever else says. Allocations of this relay reach each other all the same,
    /// since that is inside it: with everything closed they reach nobody else.
    pub deny: Vec<Cidr>,
}

impl PeerPolicy {
    /// Whether packets may be exchanged with `address` over the network.
    ///
    /// An IPv6 address that carries an IPv4 one (mapped, compatible, SIIT, NAT64, 6to4, Teredo) is
    /// permitted only if both are; so no spelling opens what is closed.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        match Spelling::of(address) {
            Spelling::Plain(address) => self.permits_plain(address),
            Spelling::Same(inner) => {
                !matches_any(&self.deny, address) && self.permits_plain(inner.into())
            }
            Spelling::Through(inner) => {
                self.permits_plain(address) && self.permits_plain(inner.into())
            }
        }
    }

    fn permits_plain(&self, address: IpAddr) -> bool {
        if is_never_a_peer(address) || matches_any(&self.deny, address) {
            return false;
        }
        if matches_any(&ALLOWED_BY_NAME_ONLY, address) {
            return self.allow.iter().any(|range| range.is_just(address));
        }
        matches_any(&self.allow, address) || !matches_any(&DENIED_BY_DEFAULT, address)
    }
}

fn matches_any(ranges: &[Cidr], address: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(address))
}

fn is_never_a_peer(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    address.is_unspecified() || address.is_multicast() || broadcast
}

/// What an address says about another one inside it.
enum Spelling {
    /// Nothing.
    Plain(IpAddr),
    /// It is another way to write this IPv4 address.
    Same(Ipv4Addr),
    /// A gateway takes packets for it to this IPv4 address.
    Through(Ipv4Addr),
}

impl Spelling {
    fn of(address: IpAddr) -> Self {
        let IpAddr::V6(v6) = address else {
            return Self::Plain(address);
        };
        let [a, b, c, d, e, f, g, h] = v6.segments();
        match [a, b, c, d, e, f] {
            [0, 0, 0, 0, 0, 0] if g == 0 && h <= 1 => Self::Plain(address), // :: and ::1
            [0, 0, 0, 0, 0, 0] => Self::Same(ipv4(g, h)), // IPv4-compatible, RFC 4291 §2.5.5.1
            [0, 0, 0, 0, 0, 0xffff] => Self::Same(ipv4(g, h)), // IPv4-mapped, RFC 4291 §2.5.5.2
            [0, 0, 0, 0, 0xffff, 0] => Self::Same(ipv4(g, h)), // SIIT, RFC 2765 §2.1
            [0x64, 0xff9b, 0, 0, 0, 0] => Self::Through(ipv4(g, h)), // NAT64, RFC 6052 §2.1
            [0x2002, high, low, ..] => Self::Through(ipv4(high, low)), // 6to4, RFC 3056 §2
            [0x2001, 0, ..] => Self::Through(ipv4(!g, !h)), // Teredo, RFC 4380 §4
            _ => Self::Plain(address),
        }
    }
}

fn ipv4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

/// A range of addresses: those that share the first bits of one. A range holds addresses of its own
/// family only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    network: IpAddr,
    prefix_bits: u8,
}

impl Cidr {
    /// The range of the addresses whose first `prefix_bits` bits are those of `network`.
    ///
    /// # Errors
    /// [`InvalidCidr::Prefix`] if an address of that family has fewer bits;
    /// [`InvalidCidr::HostBits`] if `network` has a bit set beyond them, since then somebody meant
    /// something else.
    pub fn new(network: IpAddr, prefix_bits: u8) -> Result<Self, InvalidCidr> {
        let (bits, width) = left_aligned(network);
        if u32::from(prefix_bits) > width {
            return Err(InvalidCidr::Prefix);
        }
        if bits & !mask(prefix_bits) != 0 {
            return Err(InvalidCidr::HostBits);
        }
        Ok(Self { network, prefix_bits })
    }

    /// Whether `address` is in the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                let differing = left_aligned(self.network).0 ^ left_aligned(address).0;
                differing & mask(self.prefix_bits) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether `address` is all there is in the range.
    fn is_just(&self, address: IpAddr) -> bool {
        let (_, width) = left_aligned(self.network);
        self.network == address && u32::from(self.prefix_bits) == width
    }

    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix_bits: u8) -> Self {
        Self { network: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix_bits }
    }

    const fn v6(a: u16, b: u16, c: u16, h: u16, prefix_bits: u8) -> Self {
        Self { network: IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, h)), prefix_bits }
    }
}

/// The bits of an address from the top of 128, and how many it has.
fn left_aligned(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

fn mask(prefix_bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix_bits)).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or an address alone, which is a range of one.
    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let (network, prefix_bits) = match text.split_once('/') {
            Some((network, prefix)) => (network, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = network.parse().map_err(|_| InvalidCidr::Address)?;
        let prefix_bits = match prefix_bits {
            Some(digits) => parse_prefix(digits).map_err(|_| InvalidCidr::Prefix)?,
            None if network.is_ipv4() => 32,
            None => 128,
        };
        Self::new(network, prefix_bits)
    }
}

fn parse_prefix(digits: &str) -> Result<u8, ParseIntError> {
    // `u8::from_str` would take a sign.
    if digits.starts_with('+') { "".parse() } else { digits.parse() }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_bits)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCidr {
    /// What stands before the slash isn't an address.
    #[error("not an IP address; a range is written like 192.0.2.0/24 or 2001:db8::/32")]
    Address,
    /// What stands after the slash isn't a number of bits of that address.
    #[error("the number after the slash must be 0 to 32 for IPv4, 0 to 128 for IPv6")]
    Prefix,
    /// The address has bits set beyond the prefix.
    #[error("the address has bits set beyond the prefix; write the first address of the range")]
    HostBits,
}

/// IANA's special-purpose ranges, and what was one once. Issue 3, "Safe by default".
const DENIED_BY_DEFAULT: [Cidr; 29] = [
    Cidr::v4(0, 0, 0, 0, 8),           // this network
    Cidr::v4(10, 0, 0, 0, 8),          // private
    Cidr::v4(100, 64, 0, 0, 10),       // carrier NAT; one cloud's metadata, 100.100.100.200
    Cidr::v4(127, 0, 0, 0, 8),         // loopback
    Cidr::v4(169, 254, 0, 0, 16),      // link-local; metadata of most clouds, 169.254.169.254
    Cidr::v4(172, 16, 0, 0, 12),       // private
    Cidr::v4(192, 0, 0, 0, 24),        // protocol assignments
    Cidr::v4(192, 0, 2, 0, 24),        // documentation
    Cidr::v4(192, 88, 99, 0, 24),      // 6to4 relays
    Cidr::v4(192, 168, 0, 0, 16),      // private
    Cidr::v4(198, 18, 0, 0, 15),       // benchmarks
    Cidr::v4(198, 51, 100, 0, 24),     // documentation
    Cidr::v4(203, 0, 113, 0, 24),      // documentation
    Cidr::v4(224, 0, 0, 0, 4),         // multicast
    Cidr::v4(240, 0, 0, 0, 4),         // reserved, broadcast
    Cidr::v6(0, 0, 0, 0, 128),         // unspecified
    Cidr::v6(0, 0, 0, 1, 128),         // loopback
    Cidr::v6(0x64, 0xff9b, 0, 0, 96),  // NAT64
    Cidr::v6(0x64, 0xff9b, 1, 0, 48),  // local NAT64
    Cidr::v6(0x100, 0, 0, 0, 64),      // discard
    Cidr::v6(0x2001, 0, 0, 0, 32),     // Teredo
    Cidr::v6(0x2001, 0xdb8, 0, 0, 32), // documentation
    Cidr::v6(0x2002, 0, 0, 0, 16),     // 6to4
    Cidr::v6(0x3fff, 0, 0, 0, 20),     // documentation
    Cidr::v6(0x5f00, 0, 0, 0, 16),     // segment routing
    Cidr::v6(0xfc00, 0, 0, 0, 7),      // unique local; one cloud's metadata, fd00:ec2::254
    Cidr::v6(0xfe80, 0, 0, 0, 10),     // link-local
    Cidr::v6(0xfec0, 0, 0, 0, 10),     // site-local
    Cidr::v6(0xff00, 0, 0, 0, 8),      // multicast
];

/// What a range does not open: addresses where a cloud gives its machines their keys, most of them
/// in ranges above; and NAT64 prefixes of a network of one's own, where nobody outside knows which
/// bits are the IPv4 address behind (RFC 8215, RFC 6052 §2.2).
const ALLOWED_BY_NAME_ONLY: [Cidr; 9] = [
    Cidr::v4(169, 254, 169, 254, 32),       // nearly all clouds
    Cidr::v4(169, 254, 170, 2, 32),         // AWS containers
    Cidr::v4(100, 100, 100, 200, 32),       // Alibaba
    Cidr::v4(192, 0, 0, 192, 32),           // Oracle
    Cidr::v4(168, 63, 129, 16, 32),         // Azure, amid public addresses
    Cidr::v6(0xfd00, 0xec2, 0, 0x254, 128), // AWS
    Cidr::v6(0xfd00, 0xec2, 0, 0x23, 128),  // AWS pods
    Cidr::v6(0xfd20, 0xce, 0, 0x254, 128),  // Google
    Cidr::v6(0x64, 0xff9b, 1, 0, 48),       // local NAT64
];
