//! Each kind of NAT with each, by the path that theory has for the pair: the grid of the lab, in
//! virtual time.
//!
//! `HELIOGRAPH_WRITE=1` writes what was found to docs/nat-grid.md; without it, it is compared.

use heliograph_sim::Weather;
use heliograph_sim::grid::{Meeting, Pair, Path, kinds, outcome, tables};
use heliograph_sim::nat::Kind;
use heliograph_sim_grid::{meet, page, simulate};
use std::time::Duration;

#[test]
fn every_pair_meets_by_the_path_that_theory_has_for_it() {
    let found = simulate();
    for (&pair, meeting) in &found {
        let path = meeting.as_ref().map_or(Path::Apart, Meeting::path);
        assert_eq!(path, pair.path(), "{pair}: {}", outcome(&found, pair));
    }
    page::keep("kinds", &kinds());
    page::keep("theory", &tables(|pair| pair.path().to_string()));
    page::keep("simulated", &tables(|pair| outcome(&found, pair)));
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
        assert!(meet(weather, Pair::Kinds(first, second)).is_some(), "{first}, {second}");
    }
}
