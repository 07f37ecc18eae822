//! The policy against one that looks at each address bit by bit.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use proptest::prelude::*;
use relay_core::{Cidr, InvalidCidr, PeerPolicy};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The list of issue 3, as text.
const DENIED: &str = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 \
    192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 \
    203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 ::/128 ::1/128 64:ff9b::/96 64:ff9b:1::/48 100::/64 \
    2001::/32 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8";

/// What is opened by its own address, but never by a range around it.
const BY_NAME_ONLY: &str = "169.254.169.254/32 169.254.170.2/32 100.100.100.200/32 192.0.0.192/32 \
    168.63.129.16/32 fd00:ec2::254/128 fd00:ec2::23/128 fd20:ce::254/128 64:ff9b:1::/48";

fn bits(address: IpAddr) -> Vec<bool> {
    let octets = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
}

fn naively_in(range: &str, address: IpAddr) -> bool {
    let (network, length) = range.split_once('/').unwrap();
    let (network, length): (IpAddr, usize) = (network.parse().unwrap(), length.parse().unwrap());
    network.is_ipv4() == address.is_ipv4() && bits(network)[..length] == bits(address)[..length]
}

fn naively_permitted(policy: &PeerPolicy, address: IpAddr) -> bool {
    let is_in =
        |ranges: &[Cidr]| ranges.iter().any(|range| naively_in(&range.to_string(), address));
    let never = ["0.0.0.0/32", "255.255.255.255/32", "224.0.0.0/4", "::/128", "ff00::/8"];
    if never.iter().any(|range| naively_in(range, address)) || is_in(&policy.deny) {
        return false;
    }
    if BY_NAME_ONLY.split_whitespace().any(|range| naively_in(range, address)) {
        let name =
            if address.is_ipv4() { format!("{address}/32") } else { format!("{address}/128") };
        return policy.allow.iter().any(|range| range.to_string() == name);
    }
    is_in(&policy.allow) || !DENIED.split_whitespace().any(|range| naively_in(range, address))
}

fn range() -> impl Strategy<Value = Cidr> {
    (address(), 0_u8..=128).prop_map(|(address, length)| match address {
        IpAddr::V4(v4) => {
            let length = length % 33;
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Cidr::new(Ipv4Addr::from_bits(v4.to_bits() & mask).into(), length).unwrap()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Cidr::new(Ipv6Addr::from_bits(v6.to_bits() & mask).into(), length).unwrap()
        }
    })
}

/// Random addresses are rarely special: half of these are at or beside the edge of a denied range.
fn address() -> impl Strategy<Value = IpAddr> {
    let denied = DENIED.split_whitespace().chain(BY_NAME_ONLY.split_whitespace());
    let denied: Vec<&str> = denied.collect();
    let edges = (proptest::sample::select(denied), any::<bool>(), -1_i8..=1).prop_map(edge);
    prop_oneof![
        edges,
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into())
    ]
}

fn edge((range, is_last, step): (&str, bool, i8)) -> IpAddr {
    let (network, length) = range.split_once('/').unwrap();
    let length: u32 = length.parse().unwrap();
    match network.parse().unwrap() {
        IpAddr::V4(v4) => {
            let host = if is_last { u32::MAX.checked_shr(length).unwrap_or(0) } else { 0 };
            let bits = (v4.to_bits() | host).wrapping_add_signed(step.into());
            Ipv4Addr::from_bits(bits).into()
        }
        IpAddr::V6(v6) => {
            let host = if is_last { u128::MAX.checked_shr(length).unwrap_or(0) } else { 0 };
            let bits = (v6.to_bits() | host).wrapping_add_signed(step.into());
            Ipv6Addr::from_bits(bits).into()
        }
    }
}

/// Whether the address carries an IPv4 one, where the naive matcher knows too little.
fn carries_ipv4(address: IpAddr) -> bool {
    let carriers =
        ["::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "2002::/16", "2001::/32"];
    carriers.iter().any(|range| naively_in(range, address))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_policy_agrees_with_a_naive_one(
        allow in proptest::collection::vec(range(), 0..3),
        deny in proptest::collection::vec(range(), 0..3),
        address in address(),
    ) {
        let policy = PeerPolicy { allow, deny };
        prop_assume!(!carries_ipv4(address));
        prop_assert_eq!(policy.permits(address), naively_permitted(&policy, address));
    }

    #[test]
    fn no_spelling_opens_what_is_closed(
        allow in proptest::collection::vec(range(), 0..3),
        deny in proptest::collection::vec(range(), 0..3),
        address in address(),
    ) {
        let IpAddr::V4(v4) = address else { return Ok(()) };
        let policy = PeerPolicy { allow, deny };
        let low = u128::from(v4.to_bits());
        let teredo = 0x2001_0000_u128 << 96 | u128::from(!v4.to_bits());
        let spellings = [
            low,
            0xffff_0000_0000 | low,
            0xffff_0000_0000_0000 | low,
            0x64_ff9b_u128 << 96 | low,
            0x2002_u128 << 112 | low << 80,
            teredo,
        ];
        for spelling in spellings {
            let spelling = IpAddr::V6(Ipv6Addr::from_bits(spelling));
            if policy.permits(spelling) && spelling != IpAddr::V6(Ipv6Addr::LOCALHOST) {
                prop_assert!(policy.permits(address), "{} opens {}", spelling, address);
            }
        }
    }

    #[test]
    fn a_range_reads_back(range in range()) {
        prop_assert_eq!(range.to_string().parse(), Ok(range));
    }
}

#[test]
fn nothing_special_is_open_by_default_and_the_rest_is() {
    let policy = PeerPolicy::default();
    let permits = |text: &str| policy.permits(text.parse().unwrap());
    for open in ["8.8.8.8", "1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1", "2a00::1"] {
        assert!(permits(open), "{open}");
    }
    assert!(permits("::ffff:8.8.8.8"));
    let metadata = ["169.254.169.254", "fd00:ec2::254", "100.100.100.200"];
    let others = ["::ffff:10.0.0.1", "64:ff9b::8.8.8.8", "2002:808:808::", "::10.0.0.1", "fe80::1"];
    for closed in metadata.into_iter().chain(others) {
        assert!(!permits(closed), "{closed}");
    }
}

#[test]
fn opening_a_gateway_does_not_open_what_is_behind_it() {
    let gateways = [
        ("64:ff9b::/96", "64:ff9b::8.8.8.8", "64:ff9b::10.0.0.1"),
        ("2002::/16", "2002:808:808::1", "2002:a00:1::1"),
        ("2001::/32", "2001:0:a00:1::f7f7:f7f7", "2001:0:808:808::f5ff:fffe"),
    ];
    for (range, open, closed) in gateways {
        let policy = PeerPolicy { allow: vec![range.parse().unwrap()], deny: vec![] };
        assert!(policy.permits(open.parse().unwrap()), "{open}");
        assert!(!policy.permits(closed.parse().unwrap()), "{closed}");
    }
}

#[test]
fn metadata_services_are_opened_by_name_only() {
    let everything = ["0.0.0.0/0", "::/0", "169.254.169.254/31", "fd00:ec2::254/127"];
    let everything = everything.map(|range| range.parse().unwrap()).to_vec();
    let mut policy = PeerPolicy { allow: everything, deny: vec![] };
    let metadata = ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"];
    let spelled = ["::ffff:169.254.169.254", "::ffff:0:169.254.169.254", "64:ff9b::a9fe:a9fe"];
    let local = ["64:ff9b:1::1", "64:ff9b:1:a9fe:a9:fe00::"];
    for closed in metadata.into_iter().chain(spelled).chain(local) {
        assert!(!policy.permits(closed.parse().unwrap()), "{closed}");
    }
    assert!(policy.permits("169.254.169.253".parse().unwrap()));
    policy.allow.push("169.254.169.254".parse().unwrap());
    for open in ["169.254.169.254"].into_iter().chain(spelled) {
        assert!(policy.permits(open.parse().unwrap()), "{open}");
    }
    policy.allow.push("64:ff9b:1::1/128".parse().unwrap());
    assert!(policy.permits("64:ff9b:1::1".parse().unwrap()));
    assert!(!policy.permits("64:ff9b:1::2".parse().unwrap()));
    assert!(!PeerPolicy::default().permits("168.63.129.16".parse().unwrap()));
}

#[test]
fn multicast_and_broadcast_can_not_be_opened() {
    let allow = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    let policy = PeerPolicy { allow, deny: vec![] };
    for never in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "ff02::1", "::", "::ffff:224.0.0.1"] {
        assert!(!policy.permits(never.parse().unwrap()), "{never}");
    }
    assert!(policy.permits("127.0.0.1".parse().unwrap()));
    assert!(policy.permits("::1".parse().unwrap()));
}

#[test]
fn a_text_that_is_no_range_is_refused() {
    let wrong = [
        ("", InvalidCidr::Address),
        ("localhost", InvalidCidr::Address),
        ("10.0.0/8", InvalidCidr::Address),
        ("10.0.0.0/33", InvalidCidr::Prefix),
        ("::/129", InvalidCidr::Prefix),
        ("10.0.0.0/", InvalidCidr::Prefix),
        ("10.0.0.0/+8", InvalidCidr::Prefix),
        ("10.0.0.0/-1", InvalidCidr::Prefix),
        ("10.0.0.0/8/8", InvalidCidr::Prefix),
        ("10.0.0.1/8", InvalidCidr::HostBits),
        ("fe80::1/10", InvalidCidr::HostBits),
    ];
    for (text, error) in wrong {
        assert_eq!(text.parse::<Cidr>(), Err(error), "{text:?}");
    }
    assert_eq!("10.1.2.3".parse::<Cidr>().unwrap().to_string(), "10.1.2.3/32");
    assert!("0.0.0.0/0".parse::<Cidr>().unwrap().contains([9, 9, 9, 9].into()));
}
