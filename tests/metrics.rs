//! The names of `/metrics`: what the documents and the dashboard say of them is so.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use support::{Heliograph, get};

/// The names of all samples that the whole program exports, as Prometheus stores them.
fn exported() -> BTreeSet<String> {
    let any = "127.0.0.1:0";
    // Nothing happens that it would be told.
    let webhook = ["--webhook-url", "http://127.0.0.1:9/"];
    let flags = [&["--http", any, "--turn", any, "--turn-tcp", any], &webhook[..]].concat();
    let server = Heliograph::start(&flags);
    let metrics = get(server.http(), "/metrics");
    let lines = metrics.lines().filter(|line| line.starts_with("heliograph_"));
    let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
    lines.map(name).collect()
}

/// The words of a text that are names of ours.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("heliograph_"))
}

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

#[test]
fn the_dashboard_asks_only_for_what_is_exported() {
    let (exported, text) = (exported(), document("grafana.json"));
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let asked: BTreeSet<_> = names(&text).collect();
    assert!(panels.len() > 10 && asked.len() > 30, "{} names", asked.len());
    for name in &asked {
        assert!(exported.contains(*name), "{name} is not exported");
    }
}

#[test]
fn panels_of_the_dashboard_do_not_overlap_and_have_ids_of_their_own() {
    let dashboard: Value = serde_json::from_str(&document("grafana.json")).unwrap();
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(side("x") + side("w") <= 24, "{panel}");
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(taken.insert((x, y)), "{panel} overlaps another one");
            }
        }
    }
}

#[test]
fn every_exported_name_is_documented_and_every_documented_one_exported() {
    let (exported, text) = (exported(), document("operate.md"));
    let table = text.split("## Watching it").nth(1).unwrap();
    let words = table.split('`').skip(1).step_by(2);
    let prefixes = ["signal_", "http_", "relay_"];
    // What is of neither half alone.
    let others = ["pairs", "diagnoses_total"];
    let is_name = |word: &&str| {
        others.contains(word) || prefixes.iter().any(|prefix| word.starts_with(prefix))
    };
    let documented: BTreeSet<String> = words
        .filter(is_name)
        // The value of a label.
        .filter(|word| *word != "relay_to_relay")
        .map(|word| format!("heliograph_{word}"))
        .collect();
    let missing: Vec<_> = exported.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/operate.md: {missing:?}");
    let stale: Vec<_> = documented.difference(&exported).collect();
    assert!(stale.is_empty(), "in docs/operate.md, but not exported: {stale:?}");
}
