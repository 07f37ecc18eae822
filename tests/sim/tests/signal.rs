//! The signal core in many worlds.

use heliograph_sim::signal::Seen;
use heliograph_sim::{run_seeds, signal};

#[test]
fn rosters_agree_and_signals_come_once_when_the_weather_clears() {
    let worlds = run_seeds("signal", 500, signal::run);
    let has_seen = |what: fn(&Seen) -> u64| worlds.iter().filter(|seen| what(seen) > 0).count();
    let seen = [
        has_seen(|seen| seen.joins),
        has_seen(|seen| seen.resumes),
        has_seen(|seen| seen.signals),
        has_seen(|seen| seen.refused),
        has_seen(|seen| seen.hosts),
    ];
    assert!(seen.iter().all(|worlds_with| *worlds_with >= worlds.len() / 2), "{seen:?}");
}

#[test]
fn a_seed_tells_the_same_story_again() {
    for seed in 0..5 {
        let tell = || signal::run(seed, heliograph_sim::Trace::OFF);
        assert_eq!(tell(), tell());
    }
}
