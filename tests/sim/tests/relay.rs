//! The relay core in many worlds.

use heliograph_sim::relay::Seen;
use heliograph_sim::{relay, run_seeds};

#[test]
fn nothing_is_relayed_that_may_not_be_and_everything_that_may() {
    let worlds = run_seeds("relay", 1000, relay::run);
    let has_seen = |what: fn(&Seen) -> u64| worlds.iter().filter(|seen| what(seen) > 0).count();
    let seen = [
        has_seen(|seen| seen.relayed),
        has_seen(|seen| seen.allocations),
        has_seen(|seen| seen.received),
        has_seen(|seen| seen.refused),
    ];
    assert!(seen.iter().all(|worlds_with| *worlds_with >= worlds.len() / 2), "{seen:?}");
}

#[test]
fn a_seed_tells_the_same_story_again() {
    for seed in 0..5 {
        let tell = || relay::run(seed, heliograph_sim::Trace::OFF);
        assert_eq!(tell(), tell());
    }
}
