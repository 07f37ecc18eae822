//! For the tests of the benchmarks: one is run for a moment, and what it counts must add up.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a run gave.
#[derive(Debug)]
pub struct Smoke {
    /// The tables.
    pub table: String,
    /// What was noted meanwhile.
    pub notes: String,
    /// The lines of the CSV file.
    pub rows: Vec<Row>,
}

/// A line of the CSV file, by its columns.
#[derive(Clone, Debug)]
pub struct Row(pub Vec<String>);

impl Row {
    /// The number in a column.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn number(&self, column: usize) -> f64 {
        self.0[column].parse().expect("a number")
    }

    /// Checks that it is of this work and subject, and that it counts.
    ///
    /// # Panics
    /// If not.
    pub fn assert_sound(&self, scenario: &str, subject: &str) {
        assert_eq!(self.0[..2], [scenario, subject]);
        assert_eq!(self.0.last().map(String::as_str), Some(""), "not valid: {:?}", self.0);
        assert!(self.number(5) > 0.0, "{:?}", self.0);
    }
}

/// Runs a benchmark once for a fifth of a second, with few clients.
///
/// # Panics
/// If it fails.
#[must_use]
pub fn smoke(program: &str, clients: usize, arguments: &[&str]) -> Smoke {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    let csv = std::env::temp_dir().join(format!("bench-smoke-{}-{number}.csv", std::process::id()));
    let output = Command::new(program)
        .args(arguments)
        .args(["--rounds", "1", "--seconds", "0.2", "--warm-up", "0.05"])
        .args(["--clients", &clients.to_string(), "--csv"])
        .arg(&csv)
        .output()
        .expect("the benchmark runs");
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    let (table, notes) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{notes}");
    let file = std::fs::read_to_string(&csv).expect("it writes the file");
    std::fs::remove_file(&csv).expect("the file is ours");
    let row = |line: &str| Row(line.split(',').map(str::to_owned).collect());
    Smoke { table, notes, rows: file.lines().skip(1).map(row).collect() }
}

/// What a benchmark says that is asked for something that it doesn't have.
///
/// # Panics
/// If it does it.
#[must_use]
pub fn refusal(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().expect("the benchmark runs");
    assert!(!output.status.success());
    String::from_utf8(output.stderr).expect("it prints UTF-8")
}
