//! Each kind of NAT with each, by the path that theory has for the pair: the grid of the lab, in
//! virtual time.

#![allow(clippy::print_stdout, reason = "the grid is to be seen with --nocapture")]

use heliograph_sim::nat::{Kind, Nat};
use heliograph_sim::{INTERNET, Weather};
use heliograph_sim_grid::{Meeting, meet};
use std::time::Duration;

/// The kinds of the grid: those of the lab that a peer with UDP and IPv4 gets out of.
const KINDS: [Kind; 7] = [
    Kind::Open,
    Kind::FullCone,
    Kind::AddressRestricted,
    Kind::PortRestricted,
    Kind::AddressSymmetric,
    Kind::Symmetric,
    Kind::Double,
];

fn kinds_meet(weather: Weather, first: Kind, second: Kind) -> Meeting {
    let meeting = meet(weather, |net| [first, second].map(|kind| net.add_networks(kind.gates())));
    let is_relayed = !first.is_direct_with(second);
    assert_eq!(meeting.is_relayed, is_relayed, "{first} and {second}: {meeting:?}");
    meeting
}

#[test]
fn every_pair_of_kinds_meets_by_the_path_that_theory_has_for_it() {
    let columns: Vec<_> = KINDS.iter().map(|kind| kind.name()).collect();
    println!("| first \\ then | {} |", columns.join(" | "));
    println!("|---|{}", "---|".repeat(KINDS.len()));
    for first in KINDS {
        let cells = KINDS.map(|second| {
            let Meeting { is_relayed, took } = kinds_meet(Weather::FAIR, first, second);
            let how = if is_relayed { "relayed" } else { "direct" };
            format!("{how} {:.1} s", took.as_secs_f64())
        });
        println!("| **{first}** | {} |", cells.join(" | "));
    }
}

#[test]
fn bad_weather_makes_them_slower_and_keeps_nobody_apart() {
    let weather = Weather {
        delay: Duration::from_millis(40),
        jitter: Duration::from_millis(30),
        loss_per_mille: 30,
        duplicates_per_mille: 30,
    };
    for (first, second) in [
        (Kind::PortRestricted, Kind::PortRestricted),
        (Kind::Symmetric, Kind::Double),
        (Kind::AddressSymmetric, Kind::Symmetric),
    ] {
        meet(weather, |net| [first, second].map(|kind| net.add_networks(kind.gates())));
    }
}

#[test]
fn a_nat_that_forgets_soon_is_kept_awake() {
    kinds_meet(Weather::FAIR, Kind::ShortLived, Kind::PortRestricted);
    kinds_meet(Weather::FAIR, Kind::Symmetric, Kind::ShortLived);
}

#[test]
fn two_in_one_home_need_no_nat() {
    let meeting = meet(Weather::FAIR, |net| [net.add_networks(Kind::Symmetric.gates()); 2]);
    assert!(!meeting.is_relayed);
}

#[test]
fn two_customers_of_a_carrier_go_direct_if_its_nat_hairpins() {
    for hairpin in [false, true] {
        let meeting = meet(Weather::FAIR, |net| {
            let carrier = net.add_network(INTERNET, Nat { hairpin, ..Nat::PORT_RESTRICTED });
            [Nat::PORT_RESTRICTED; 2].map(|home| net.add_network(carrier, home))
        });
        assert_eq!(meeting.is_relayed, !hairpin);
    }
}
