//! The peer policy against one that looks at each address bit by bit.

use crate::input::Input;
use relay_core::{Cidr, PeerPolicy};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Issue 3's list, as text.
const DENIED: &str = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 \
    192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 \
    203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 ::/128 ::1/128 64:ff9b::/96 64:ff9b:1::/48 100::/64 \
    2001::/32 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8";

/// What nobody can open.
const NEVER: &str = "0.0.0.0/32 255.255.255.255/32 224.0.0.0/4 ::/128 ff00::/8";

/// What only its own address opens, not a range around it.
const BY_NAME: &str = "169.254.169.254/32 169.254.170.2/32 100.100.100.200/32 192.0.0.192/32 \
    168.63.129.16/32 fd00:ec2::254/128 fd00:ec2::23/128 fd20:ce::254/128 64:ff9b:1::/48";

/// Asks both policies about addresses, with ranges of the fuzzer's choice opened and closed.
///
/// # Panics
/// If they differ, or a range doesn't read back.
pub fn policy(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (allowed, denied) = (input.byte() % 4, input.byte() % 4);
    let allow: Vec<Cidr> = (0..allowed).map(|_| range(&mut input)).collect();
    let deny: Vec<Cidr> = (0..denied).map(|_| range(&mut input)).collect();
    for range in allow.iter().chain(&deny) {
        assert_eq!(range.to_string().parse(), Ok(*range), "a range reads back");
    }
    let texts = |ranges: &[Cidr]| ranges.iter().map(Cidr::to_string).collect();
    let naive = Naive { allow: texts(&allow), deny: texts(&deny) };
    let policy = PeerPolicy { allow, deny };
    while !input.is_empty() {
        let address = address(&mut input);
        assert_eq!(policy.permits(address), naive.permits(address), "{address} {policy:?}");
    }
}

fn range(input: &mut Input<'_>) -> Cidr {
    let (address, bits) = (address(input), input.byte());
    let (network, bits) = match address {
        IpAddr::V4(v4) => {
            let bits = bits % 33;
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            (Ipv4Addr::from_bits(v4.to_bits() & mask).into(), bits)
        }
        IpAddr::V6(v6) => {
            let bits = bits % 129;
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            (Ipv6Addr::from_bits(v6.to_bits() & mask).into(), bits)
        }
    };
    Cidr::new(network, bits).expect("the other bits are zero")
}

/// Any address, or one at the edge of a special range, or one that carries an IPv4 address.
fn address(input: &mut Input<'_>) -> IpAddr {
    let special: Vec<&str> = [DENIED, BY_NAME].iter().flat_map(|list| list.split(' ')).collect();
    let special = [special, CARRIERS.map(|carrier| carrier.0).to_vec()].concat();
    match input.byte() % 4 {
        0 => Ipv4Addr::from(input.array()).into(),
        1 => Ipv6Addr::from(input.array()).into(),
        2 => edge(input.choose(&special), input.byte()),
        _ => {
            let (range, at, is_inverted) = input.choose(&CARRIERS);
            let inner = u32::from_be_bytes(input.array());
            let inner = if is_inverted { !inner } else { inner };
            let (network, _) = split(range);
            let IpAddr::V6(network) = network else { return network };
            Ipv6Addr::from_bits(network.to_bits() | u128::from(inner) << (96 - at)).into()
        }
    }
}

/// The first or the last address of a range, or one beside it.
fn edge(range: &str, choice: u8) -> IpAddr {
    let (network, length) = split(range);
    let step = i32::from(choice >> 1) % 3 - 1;
    let is_last = choice & 1 == 1;
    match network {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(length).unwrap_or(0) * u32::from(is_last);
            Ipv4Addr::from_bits((v4.to_bits() | host).wrapping_add_signed(step)).into()
        }
        IpAddr::V6(v6) => {
            let host = u128::MAX.checked_shr(length).unwrap_or(0) * u128::from(is_last);
            Ipv6Addr::from_bits((v6.to_bits() | host).wrapping_add_signed(step.into())).into()
        }
    }
}

/// IPv6 ranges whose addresses carry an IPv4 one: from which bit on, and whether inverted.
const CARRIERS: [(&str, usize, bool); 6] = [
    ("::/96", 96, false),
    ("::ffff:0:0/96", 96, false),
    ("::ffff:0:0:0/96", 96, false),
    ("64:ff9b::/96", 96, false),
    ("2002::/16", 16, false),
    ("2001::/32", 96, true),
];

/// How many of [`CARRIERS`] only write an IPv4 address in another way; the others are gateways.
const SPELLINGS: usize = 3;

struct Naive {
    allow: Vec<String>,
    deny: Vec<String>,
}

impl Naive {
    fn permits(&self, address: IpAddr) -> bool {
        let is_plain = [[0; 16], Ipv6Addr::LOCALHOST.octets()].contains(&octets(address));
        let carrier = CARRIERS.iter().position(|(range, ..)| !is_plain && is_in(range, address));
        let Some(place) = carrier else {
            return self.permits_plain(address);
        };
        let (_, at, is_inverted) = CARRIERS[place];
        let inner = bits(address)[at..at + 32]
            .iter()
            .fold(0_u32, |sum, bit| sum << 1 | u32::from(*bit != is_inverted));
        let inner = self.permits_plain(Ipv4Addr::from_bits(inner).into());
        let outer = if place < SPELLINGS {
            !self.deny.iter().any(|range| is_in(range, address))
        } else {
            self.permits_plain(address)
        };
        inner && outer
    }

    fn permits_plain(&self, address: IpAddr) -> bool {
        let is_never = NEVER.split(' ').any(|range| is_in(range, address));
        if is_never || self.deny.iter().any(|range| is_in(range, address)) {
            return false;
        }
        if BY_NAME.split(' ').any(|range| is_in(range, address)) {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            return self.allow.contains(&format!("{address}/{bits}"));
        }
        self.allow.iter().any(|range| is_in(range, address))
            || !DENIED.split(' ').any(|range| is_in(range, address))
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(_) => [0xff; 16],
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn bits(address: IpAddr) -> Vec<bool> {
    let octets = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
}

fn is_in(range: &str, address: IpAddr) -> bool {
    let (network, length) = split(range);
    let length = length as usize;
    network.is_ipv4() == address.is_ipv4() && bits(network)[..length] == bits(address)[..length]
}

fn split(range: &str) -> (IpAddr, u32) {
    let (network, length) = range.split_once('/').expect("a range has a length");
    (network.parse().expect("an address"), length.parse().expect("a length"))
}
