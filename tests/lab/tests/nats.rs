//! Each NAT is what it says: a STUN client behind it finds the behavior of RFC 4787 that its plain
//! description has.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use heliograph_lab::{Family, Kind, Nat, World, hairpins, mapping_outlives, probe};
use std::time::Duration;

fn is_as_described(kind: Kind) {
    let mut world = World::new().unwrap();
    let _server = world.serve_probes().unwrap();
    let host = world.peer("host", kind).unwrap();
    let found = probe(host.space()).unwrap();
    assert_eq!(Some((found.mapping, found.filtering)), kind.behavior());
}

#[test]
fn no_nat_translates_nothing_and_lets_all_in() {
    is_as_described(Kind::Open);
}

#[test]
fn a_full_cone_lets_strangers_in() {
    is_as_described(Kind::FullCone);
}

#[test]
fn an_address_restricted_nat_lets_in_who_was_sent_to_from_any_port() {
    is_as_described(Kind::AddressRestricted);
}

#[test]
fn a_port_restricted_nat_lets_in_who_was_sent_to() {
    is_as_described(Kind::PortRestricted);
}

#[test]
fn an_address_symmetric_nat_has_another_port_for_each_address() {
    is_as_described(Kind::AddressSymmetric);
}

#[test]
fn a_symmetric_nat_has_another_port_for_each_destination() {
    is_as_described(Kind::Symmetric);
}

#[test]
fn a_double_nat_is_as_strict_as_its_stricter_half() {
    is_as_described(Kind::Double);
}

#[test]
fn a_hairpin_leads_back_inside_and_without_one_nothing_does() {
    let mut world = World::new().unwrap();
    let _server = world.serve_probes().unwrap();
    for nat in [Nat::FULL_CONE, Nat::ADDRESS_RESTRICTED, Nat::PORT_RESTRICTED] {
        for nat in [nat, nat.with_hairpin()] {
            let home = world.home(&world.internet(), &nat.into()).unwrap();
            let name = format!("{:?}-{}", nat.filtering, nat.hairpin);
            let host = world.host(&name, &home, Family::V4).unwrap();
            let found = probe(host.space()).unwrap();
            assert_eq!(hairpins(host.space()).unwrap(), nat.hairpin, "{nat:?}");
            assert_eq!((found.mapping, found.filtering), (nat.mapping, nat.filtering));
        }
    }
}

#[test]
fn a_short_lived_mapping_is_forgotten_and_a_common_one_is_not() {
    let mut world = World::new().unwrap();
    let _server = world.serve_probes().unwrap();
    let pause = Duration::from_secs(7);
    for (name, kind, outlives) in
        [("hasty", Kind::ShortLived, false), ("patient", Kind::PortRestricted, true)]
    {
        let host = world.peer(name, kind).unwrap();
        assert_eq!(mapping_outlives(host.space(), pause).unwrap(), outlives, "{kind}");
    }
}

#[test]
fn a_firewall_that_blocks_udp_lets_no_answer_in() {
    let mut world = World::new().unwrap();
    let _server = world.serve_probes().unwrap();
    for (name, kind) in [("deaf", Kind::UdpBlocked), ("web", Kind::Only443)] {
        let host = world.peer(name, kind).unwrap();
        let refused = probe(host.space()).unwrap_err().to_string();
        assert!(refused.contains("is UDP blocked"), "{refused}");
    }
}
