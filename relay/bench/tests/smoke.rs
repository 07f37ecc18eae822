//! The benchmark measures for a moment: what it counts must add up. Nothing here looks at times.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use bench_kit::smoke::{Smoke, refusal, smoke};
use heliograph_base::Clock;
use relay_core::{Config, PeerPolicy, StaticUser};
use relay_server::{Relay, RelayConfig, relay_core};

/// Runs the benchmark with few clients.
fn bench(arguments: &[&str]) -> Smoke {
    smoke(env!("CARGO_BIN_EXE_relay-bench"), 4, arguments)
}

#[test]
fn forwarders_forward_single_packets_and_trains() {
    let Smoke { table, rows, .. } =
        bench(&["single-160-100", "train-1200", "--subjects=forward,forward-gso"]);
    assert_eq!(rows.len(), 4, "{table}");
    for (row, (scenario, subject)) in rows.iter().zip([
        ("single-160-100", "forward"),
        ("single-160-100", "forward-gso"),
        ("train-1200", "forward"),
        ("train-1200", "forward-gso"),
    ]) {
        row.assert_sound(scenario, subject);
        assert!(row.number(3) > 0.0, "it costs nothing: {:?}", row.0);
        assert!(row.number(7) < 0.05, "packets are missing: {:?}", row.0);
    }
    assert_eq!(table.lines().filter(|line| line.contains("forward-gso")).count(), 2, "{table}");
}

#[test]
fn a_turn_server_is_put_to_every_work_that_needs_no_child() {
    let relay = Relay::start(config(), Clock::start()).unwrap();
    let external = format!("{},{}", relay.listeners()[0].bound, std::process::id());
    let works = ["single-160-100", "relay-to-relay", "paced-20k", "binding", "allocate"];
    let arguments = ["--subjects=external", "--external", &external];
    let Smoke { table, rows, .. } = bench(&[&works[..], &arguments].concat());
    assert_eq!(rows.len(), works.len(), "{table}");
    for (row, work) in rows.iter().zip(works) {
        // A paced run that loses isn't valid, and on a busy machine it may.
        if work != "paced-20k" {
            row.assert_sound(work, "external");
        }
    }
}

#[test]
fn a_scenario_that_nobody_knows_is_an_error() {
    let said = refusal(env!("CARGO_BIN_EXE_relay-bench"), "singel");
    assert!(said.contains("no scenario is called singel"), "{said}");
}

fn config() -> RelayConfig {
    let user = StaticUser { name: "bench".to_owned(), password: "wheat-from-chaff".to_owned() };
    let allow = vec!["127.0.0.0/8".parse().unwrap()];
    RelayConfig {
        core: Config {
            users: vec![user],
            policy: PeerPolicy { allow, ..PeerPolicy::default() },
            unauthenticated_rate: 0,
            ..Config::default()
        },
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: 1,
        ..RelayConfig::default()
    }
}
