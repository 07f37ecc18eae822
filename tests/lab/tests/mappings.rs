//! Networks that forget an open connection, or are left under it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use heliograph_lab::{Host, Kind, Program, World};
use std::thread::sleep;
use std::time::Duration;

/// How long it takes at most until two are connected, again or for the first time.
const PATIENCE: Duration = Duration::from_secs(60);

fn join(host: &Host, name: &str) -> Program {
    let program = host.join(name, &["--room", "changes"]).unwrap();
    program.line("in room", PATIENCE).unwrap();
    program
}

/// The number of lossy messages in the last report.
fn received(program: &Program) -> u64 {
    let lines = program.lines();
    let reports = lines.iter().filter_map(|(_, line)| line.split_once(" sent, "));
    let counts = reports.filter_map(|(_, rest)| rest.split(' ').next()?.parse().ok());
    counts.max().unwrap_or_default()
}

#[test]
fn a_connection_outlives_mappings_that_are_forgotten_after_five_seconds() {
    let mut world = World::new().unwrap();
    let _server = world.serve(&[]).unwrap();
    let (ada, bob) = (
        world.peer("ada", Kind::ShortLived).unwrap(),
        world.peer("bob", Kind::ShortLived).unwrap(),
    );
    let (ada, bob) = (join(&ada, "ada"), join(&bob, "bob"));
    bob.line(" connected: direct", PATIENCE).unwrap();
    sleep(Duration::from_secs(12));
    let before = received(&bob);
    sleep(Duration::from_secs(5));
    assert!(received(&bob) > before + 100, "{}", bob.output());
    assert!(!ada.output().contains("not connected"), "{}", ada.output());
}

#[test]
fn who_leaves_the_house_is_connected_again_from_the_next_network() {
    let mut world = World::new().unwrap();
    let _server = world.serve(&[]).unwrap();
    let mut ada_host = world.peer("ada", Kind::PortRestricted).unwrap();
    let bob_host = world.peer("bob", Kind::PortRestricted).unwrap();
    let (ada, bob) = (join(&ada_host, "ada"), join(&bob_host, "bob"));
    bob.line(" connected: direct", PATIENCE).unwrap();
    let elsewhere = world.internet();
    world.relocate(&mut ada_host, &elsewhere).unwrap();
    sleep(Duration::from_secs(45));
    let before = received(&bob);
    sleep(Duration::from_secs(5));
    assert!(received(&bob) > before + 100, "{}{}", ada.output(), bob.output());
}
