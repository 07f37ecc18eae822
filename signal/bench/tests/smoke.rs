//! The benchmark measures for a moment: what it counts must add up. Nothing here looks at times.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use heliograph_base::Clock;
use signal_server::{AdmissionLimits, Http, HttpLimits, Signal, SignalConfig, bind};
use std::process::Command;

/// A line of the CSV file, by its columns.
struct Row(Vec<String>);

impl Row {
    fn assert_sound(&self, scenario: &str, subject: &str) {
        assert_eq!(self.0[..2], [scenario, subject]);
        assert_eq!(self.0.last().unwrap(), "", "not valid: {:?}", self.0);
        let per_second: f64 = self.0[5].parse().unwrap();
        assert!(per_second > 0.0, "{:?}", self.0);
    }
}

/// Runs the benchmark with few clients; gives what it prints and all lines of its file.
fn bench(name: &str, arguments: &[&str]) -> (String, Vec<Row>) {
    let name = format!("signal-bench-smoke-{}-{name}.csv", std::process::id());
    let csv = std::env::temp_dir().join(name);
    let output = Command::new(env!("CARGO_BIN_EXE_signal-bench"))
        .args(arguments)
        .args(["--rounds", "1", "--seconds", "0.2", "--warm-up", "0.05", "--clients", "46"])
        .arg("--csv")
        .arg(&csv)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&csv).unwrap();
    std::fs::remove_file(&csv).unwrap();
    let row = |line: &str| Row(line.split(',').map(str::to_owned).collect());
    let table = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (table, text.lines().skip(1).map(row).collect())
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
    let (table, rows) = bench("naive", &["--subjects=naive"]);
    assert_eq!(rows.len(), WORKS.len(), "{table}");
    for (row, work) in rows.iter().zip(WORKS) {
        row.assert_sound(work, "naive");
    }
    assert!(table.contains("0 of 2 closed"), "{table}");
}

#[test]
fn small_buffers_make_the_naive_relay_another_subject() {
    let (table, rows) = bench("small", &["session", "--subjects=naive-small"]);
    assert_eq!(rows.len(), 1, "{table}");
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
    let (table, rows) = bench("ours", &["--subjects=external", "--external", &external]);
    assert_eq!(rows.len(), WORKS.len(), "{table}");
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
    let output = Command::new(env!("CARGO_BIN_EXE_signal-bench")).arg("iddle").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("no scenario is called iddle"));
}
