//! The benchmark measures for a moment: what it counts must add up. Nothing here looks at times.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use bench_kit::smoke::{Smoke, refusal, smoke};
use heliograph_base::Clock;
use signal_server::{AdmissionLimits, Http, HttpLimits, Signal, SignalConfig, bind};

/// Runs the benchmark with few clients.
fn bench(arguments: &[&str]) -> Smoke {
    smoke(env!("CARGO_BIN_EXE_signal-bench"), 46, arguments)
}

const WORKS: [&str; 8] = [
    "idle",
    "pairs-paced",
    "pairs-saturated",
    "joins",
    "session",
    "broadcast",
    "room-of-1000",
    "stalled",
];

#[test]
fn the_naive_relay_is_put_to_every_work() {
    let Smoke { table, notes, rows } = bench(&["--subjects=naive"]);
    assert_eq!(rows.len(), WORKS.len(), "{notes}");
    for (row, work) in rows.iter().zip(WORKS) {
        row.assert_sound(work, "naive");
    }
    assert!(table.contains("0 of 2 closed"), "{table}");
}

#[test]
fn small_buffers_make_the_naive_relay_another_subject() {
    let Smoke { table, notes, rows } = bench(&["session", "--subjects=naive-small"]);
    assert_eq!(rows.len(), 1, "{table}{notes}");
    rows[0].assert_sound("session", "naive-small");
}

#[test]
fn ours_is_put_to_every_work_and_ends_those_that_stall() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = runtime.block_on(async {
        let signal = Signal::start(unlimited(), Clock::start()).unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let http = Http::new(HttpLimits::default());
            http.serve(listener, signal.router(), std::future::pending::<()>()).await;
        });
        address
    });
    let external = format!("{address},{}", std::process::id());
    let Smoke { table, notes, rows } = bench(&["--subjects=external", "--external", &external]);
    assert_eq!(rows.len(), WORKS.len(), "{notes}");
    for (row, work) in rows.iter().zip(WORKS) {
        row.assert_sound(work, "external");
    }
    assert!(table.contains("2 of 2 closed with 4001; 44 of 44 told"), "{table}");
}

/// As the benchmark starts the program.
fn unlimited() -> SignalConfig {
    let admission = AdmissionLimits {
        address_connections_max: 0,
        address_joins_per_s: 0,
        joins_per_s: 0,
        ..AdmissionLimits::default()
    };
    let mut config = SignalConfig { admission, ..SignalConfig::default() };
    (config.hub.messages_per_s, config.hub.bytes_per_s) = (0, 0);
    config
}

#[test]
fn a_scenario_that_nobody_knows_is_an_error() {
    let said = refusal(env!("CARGO_BIN_EXE_signal-bench"), "iddle");
    assert!(said.contains("no scenario is called iddle"), "{said}");
}
