//! What was found, and its tables in docs/nat-grid.md, beside those of the simulation.

use crate::{BROWSERS, Browsers};
use heliograph_lab::Client;
use heliograph_lab::grid::{Found, Meeting, Pair, differences, outcome, tables};
use heliograph_sim_grid::page::{self, REASONS};
use heliograph_sim_grid::simulate;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

/// What is said if there is no difference.
const NONE: &str = "In no pair.\n";

/// Keeps what came of a pair, and looks at the page when all have met.
pub(crate) fn record(pair: Pair, met: Option<Meeting>) {
    static FOUND: Mutex<Found> = Mutex::new(Found::new());
    let mut found = FOUND.lock().unwrap();
    found.insert(pair, met);
    if found.len() < Pair::all().count() {
        return;
    }
    page::keep("real", &tables(|pair| outcome(&found, pair)));
    let simulated = simulate();
    let explained = differences(&simulated, &found, REASONS).unwrap_or_else(|wrong| {
        let both = |pair| [&simulated, &found].map(|found| outcome(found, pair)).join(" | ");
        let wrong: Vec<_> = wrong.iter().map(|it| format!("{it}: {}", both(*it))).collect();
        panic!("a difference without a reason, or a reason without one:\n{}", wrong.join("\n"))
    });
    let row = |(pair, reason)| {
        let [simulated, real] = [&simulated, &found].map(|found| outcome(found, pair));
        format!("| {pair} | {simulated} | {real} | {reason} |\n")
    };
    let rows: String = explained.into_iter().map(row).collect();
    let head = "| pair | simulated | real | reason |\n|---|---|---|---|\n";
    page::keep(
        "differences",
        &if rows.is_empty() { NONE.to_owned() } else { head.to_owned() + &rows },
    );
}

/// The same for the cells with browsers.
pub(crate) fn record_browsers(cell: Browsers, met: Meeting) {
    static FOUND: Mutex<BTreeMap<Browsers, Meeting>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().unwrap();
    found.insert(cell, met);
    if found.len() < BROWSERS.len() {
        return;
    }
    let mut text = "| first | then | path |\n|---|---|---|\n".to_owned();
    for cell in BROWSERS {
        let [first, second] = cell.map(|(client, kind)| match client {
            Client::Rust => format!("Rust, {kind}"),
            Client::Chromium => format!("Chromium, {kind}"),
        });
        let (path, took) = (found[&cell].path(), found[&cell].took.as_secs_f64());
        let _ = writeln!(text, "| {first} | {second} | {path} {took:.1} s |");
    }
    page::keep("browsers", &text);
}
