//! However a world ends, nothing is left of it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use heliograph_lab::{Kind, Program, World, built};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// The namespaces of a process.
fn namespaces(process: u32) -> Vec<String> {
    let names = fs::read_dir("/run/netns").unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("lab-{process}-"))).collect()
}

/// The example `lab` with a world that is up.
fn lab_is_up() -> Program {
    let mut command = Command::new(built("examples/lab").unwrap());
    command.args(["up", "symmetric", "open", "--delay-ms", "1"]);
    let lab = Program::start(command).unwrap();
    lab.line("Ctrl-C", PATIENCE).unwrap();
    assert_eq!(namespaces(lab.id()).len(), 5);
    lab
}

#[test]
fn a_panic_leaves_nothing_behind() {
    let mut name = String::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new().unwrap();
        name = world.peer("ada", Kind::Symmetric).unwrap().space().name().to_owned();
        assert!(namespaces(std::process::id()).contains(&name));
        panic!("as tests do");
    }));
    assert!(panicked.is_err());
    assert!(!namespaces(std::process::id()).contains(&name), "{name}");
}

#[test]
fn signals_leave_nothing_behind() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let mut lab = lab_is_up();
        lab.signal(signal).unwrap();
        let status = lab.end(PATIENCE).unwrap();
        assert_eq!(status.code(), Some(code), "{}", lab.output());
        assert_eq!(namespaces(lab.id()), [""; 0]);
    }
}

#[test]
fn what_a_killed_lab_leaves_the_next_one_removes() {
    let mut lab = lab_is_up();
    lab.signal("KILL").unwrap();
    assert_eq!(lab.end(PATIENCE).unwrap().signal(), Some(9));
    assert_ne!(namespaces(lab.id()), [""; 0]);
    let mut next = lab_is_up();
    assert_eq!(namespaces(lab.id()), [""; 0]);
    next.signal("INT").unwrap();
    next.end(PATIENCE).unwrap();
}
