//! How many instructions one packet of each kind takes in the core, held to
//! `instructions.txt`.
//!
//! `cargo bench -p relay-core --bench instructions`. This program runs itself once for each kind
//! under Valgrind, which counts what happens within [`counted`]. Unlike times, counts are the same
//! on every machine with this architecture and this compiler: Valgrind emulates one kind of CPU.
//! They don't show what caches and branches cost; `packets.rs` does.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, ExitCode};
use std::{env, fs};
use world::{Kind, Packet, Users, World};

/// By how much a count may grow.
const GROWTH_PERCENT_MAX: u64 = 5;
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
const UPDATE: &str = "UPDATE_INSTRUCTIONS";
const UPDATE_COMMAND: &str = "UPDATE_INSTRUCTIONS=1 cargo bench -p relay-core --bench instructions";
const HEAD: &str = "# Instructions for one packet in the core: see instructions.rs.\n";
const HOSTS: u8 = 2;
const CLIENTS: usize = 100;
const PAYLOAD_BYTES: usize = 160;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    if let [_, command, kind, users] = &arguments[..]
        && command == "run"
    {
        run(kind, users);
        return ExitCode::SUCCESS;
    }
    if !cfg!(target_arch = "x86_64") {
        println!("instructions are counted on x86_64 only");
        return ExitCode::SUCCESS;
    }
    check()
}

/// Counts all kinds, and compares them with the baseline, or writes that anew.
fn check() -> ExitCode {
    let scenarios = Kind::ALL.iter().flat_map(|kind| Users::ALL.map(|users| (*kind, users)));
    let counts: Vec<_> = scenarios
        .map(|(kind, users)| (format!("{}/{}", kind.name(), users.name()), count(kind, users)))
        .collect();
    if env::var_os(UPDATE).is_some() {
        let mut text = HEAD.to_owned();
        for (name, count) in &counts {
            writeln!(text, "{name} {count}").expect("a string takes all");
        }
        fs::write(BASELINE, text).expect("the baseline can be written");
    }
    let baseline = baseline();
    let mut is_good = baseline.len() == counts.len();
    for (name, count) in counts {
        let Some(before) = baseline.get(&name).copied() else {
            println!("{name:32} {count:7}  is not in the baseline");
            is_good = false;
            continue;
        };
        let change_percent = 100.0 * (count as f64 / before as f64 - 1.0);
        let is_over = 100 * count > (100 + GROWTH_PERCENT_MAX) * before;
        let remark = if is_over { "  TOO MANY" } else { "" };
        println!("{name:32} {count:7} {change_percent:+7.1} %{remark}");
        is_good &= !is_over;
    }
    if is_good {
        return ExitCode::SUCCESS;
    }
    println!(
        "Not within {GROWTH_PERCENT_MAX} % of {BASELINE}.\n\
         If it is worth it, write that anew and commit it: {UPDATE_COMMAND}"
    );
    ExitCode::FAILURE
}

/// Scenario and instructions, a line each.
fn baseline() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(BASELINE).expect("the baseline is there");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, count) = line.split_once(' ').expect("a line is a name and a count");
            (name.to_owned(), count.parse().expect("a count is a number"))
        })
        .collect()
}

/// Runs one scenario under Valgrind, and gives the instructions for each of its packets.
fn count(kind: Kind, users: Users) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*instructions::counted*")
        .arg(env::current_exe().expect("this program has a path"))
        .args(["run", kind.name(), users.name()])
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .output()
        .expect("valgrind is installed");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let packets = String::from_utf8_lossy(&output.stdout).trim().parse::<u64>();
    let collected = log.lines().find_map(|line| line.split_once("Collected : "));
    let collected = collected.and_then(|(_, count)| count.trim().parse::<u64>().ok());
    let (Ok(packets), Some(collected)) = (packets, collected) else {
        panic!("valgrind tells no count: {log}");
    };
    assert!(collected > packets, "nothing was counted: {log}");
    collected / packets
}

/// Passes each packet of one scenario, and prints how many they are.
fn run(kind: &str, users: &str) {
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind).expect("it is a kind");
    let users = Users::ALL.into_iter().find(|known| known.name() == users).expect("they are users");
    let mut world = World::new(HOSTS, users, CLIENTS);
    world.allocate_all();
    let packets = world.packets(kind, PAYLOAD_BYTES);
    for packet in &packets {
        counted(&mut world, packet);
        world.settle();
    }
    println!("{}", packets.len());
}

#[inline(never)]
fn counted(world: &mut World, packet: &Packet) {
    world.pass(packet);
}
