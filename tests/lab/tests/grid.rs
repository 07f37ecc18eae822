//! The grid: two Rust peers, each behind each kind of NAT, meet by the path that theory has for
//! them. Rows are who was in the room first, columns who came.
//!
//! `HELIOGRAPH_WRITE=1` writes what was found to docs/nat-grid.md; without it, a whole run
//! compares.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stdout, reason = "times are to be seen with --nocapture")]

use heliograph_lab::{Egress, Family, Gate, Host, Kind, Meeting, Nat, World, meet, probe};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

/// The kinds of the grid; all others have cells of their own below.
const KINDS: [Kind; 7] = [
    Kind::Open,
    Kind::FullCone,
    Kind::AddressRestricted,
    Kind::PortRestricted,
    Kind::AddressSymmetric,
    Kind::Symmetric,
    Kind::Double,
];

/// Makes a row of the grid.
macro_rules! row {
    ($row:ident, $first:expr) => {
        mod $row {
            use heliograph_lab::Kind;
            row!(@cells $first,
                open Open, full_cone FullCone, address_restricted AddressRestricted,
                port_restricted PortRestricted, address_symmetric AddressSymmetric,
                symmetric Symmetric, double Double);
        }
    };
    (@cells $first:expr, $($column:ident $second:ident),*) => {
        $(
            #[test]
            fn $column() {
                crate::kinds_meet($first, Kind::$second);
            }
        )*
    };
}

row!(open, Kind::Open);
row!(full_cone, Kind::FullCone);
row!(address_restricted, Kind::AddressRestricted);
row!(port_restricted, Kind::PortRestricted);
row!(address_symmetric, Kind::AddressSymmetric);
row!(symmetric, Kind::Symmetric);
row!(double, Kind::Double);

/// Pairs that are more than two kinds, and whether a relay has to be between them.
const SPECIALS: [(&str, bool); 6] = [
    ("two in one home", false),
    ("two customers of a carrier whose NAT hairpins", false),
    ("two customers of a carrier whose NAT doesn't", true),
    ("two with IPv6 only, each behind a firewall", false),
    ("IPv6 only and a port-restricted NAT", true),
    ("IPv6 only and a symmetric NAT", true),
];

#[test]
fn two_in_one_home_need_no_nat() {
    special(SPECIALS[0], |world| {
        let home = world.behind(Kind::Symmetric)?;
        Ok([world.host("ada", &home, Family::V4)?, world.host("bob", &home, Family::V4)?])
    });
}

#[test]
fn two_customers_of_a_carrier_that_hairpins_go_direct() {
    special(SPECIALS[1], |world| customers(world, Nat::PORT_RESTRICTED.with_hairpin()));
}

#[test]
fn two_customers_of_a_carrier_that_does_not_hairpin_are_relayed() {
    special(SPECIALS[2], |world| customers(world, Nat::PORT_RESTRICTED));
}

fn customers(world: &mut World, nat: Nat) -> anyhow::Result<[Host; 2]> {
    let carrier = world.carrier(&world.internet(), &nat.into())?;
    let mut customer = |name| {
        let home =
            world.home(&carrier, &Gate { nat: Nat::PORT_RESTRICTED, egress: Egress::All })?;
        world.host(name, &home, Family::V4)
    };
    Ok([customer("ada")?, customer("bob")?])
}

#[test]
fn two_with_ipv6_only_go_direct_through_their_firewalls() {
    special(SPECIALS[3], |world| peers(world, [Kind::Ipv6Only, Kind::Ipv6Only]));
}

#[test]
fn ipv6_only_and_a_port_restricted_nat_are_relayed() {
    special(SPECIALS[4], |world| peers(world, [Kind::Ipv6Only, Kind::PortRestricted]));
}

#[test]
fn ipv6_only_and_a_symmetric_nat_are_relayed() {
    special(SPECIALS[5], |world| peers(world, [Kind::Ipv6Only, Kind::Symmetric]));
}

#[test]
fn a_rust_peer_behind_a_firewall_without_udp_is_told_that_it_is_not_connected() {
    let mut world = World::new().unwrap();
    let _server = world.serve(&[]).unwrap();
    let [ada, bob] = peers(&mut world, [Kind::UdpBlocked, Kind::Open]).unwrap();
    let ada = ada.join("ada", &["--room", "blocked"]).unwrap();
    let bob = bob.join("bob", &["--room", "blocked"]).unwrap();
    for program in [ada, bob] {
        program.line(" not connected: ", PATIENCE).unwrap();
    }
}

#[test]
fn a_rust_peer_behind_a_firewall_for_the_web_only_is_told_that_it_cannot_reach_the_server() {
    let mut world = World::new().unwrap();
    let _server = world.serve(&[]).unwrap();
    let ada = world.peer("ada", Kind::Only443).unwrap();
    let ada = ada.join("ada", &["--room", "blocked"]).unwrap();
    ada.line("no answer from 203.0.113.10:8080", PATIENCE).unwrap();
}

/// For so long a program may try before it says that it doesn't work.
const PATIENCE: Duration = Duration::from_secs(30);

/// A place in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Kinds(Kind, Kind),
    Special(&'static str),
}

fn kinds_meet(first: Kind, second: Kind) {
    check(Cell::Kinds(first, second), !first.is_direct_with(second), |world| {
        let hosts = peers(world, [first, second])?;
        let _server = world.serve_probes()?;
        for (host, kind) in hosts.iter().zip([first, second]) {
            let found = probe(host.space())?;
            assert_eq!(Some((found.mapping, found.filtering)), kind.behavior(), "{kind}");
        }
        Ok(hosts)
    });
}

fn special(
    (name, is_relayed): (&'static str, bool),
    build: impl Fn(&mut World) -> anyhow::Result<[Host; 2]>,
) {
    check(Cell::Special(name), is_relayed, build);
}

fn peers(world: &mut World, [first, second]: [Kind; 2]) -> anyhow::Result<[Host; 2]> {
    Ok([world.peer("ada", first)?, world.peer("bob", second)?])
}

/// Has two meet in a world of their own. A busy machine can starve them: what fails is tried once
/// more, and that is said.
fn check(cell: Cell, is_relayed: bool, build: impl Fn(&mut World) -> anyhow::Result<[Host; 2]>) {
    let play = || {
        let mut world = World::new()?;
        let [first, second] = build(&mut world)?;
        let _server = world.serve(&[])?;
        let meeting = meet("cell", &first, &second)?;
        anyhow::ensure!(meeting.is_relayed == is_relayed, "{meeting}");
        Ok(meeting)
    };
    let meeting = play().unwrap_or_else(|error| {
        println!("{cell:?} is tried again, the first time: {error:#}");
        play().unwrap()
    });
    println!("{cell:?}: {meeting}");
    record(cell, meeting);
}

fn record(cell: Cell, meeting: Meeting) {
    static FOUND: Mutex<BTreeMap<Cell, Meeting>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().unwrap();
    found.insert(cell, meeting);
    if found.len() < KINDS.len() * KINDS.len() + SPECIALS.len() {
        return;
    }
    let document = document(&found);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/nat-grid.md");
    if std::env::var_os("HELIOGRAPH_WRITE").is_some() {
        return std::fs::write(path, document).unwrap();
    }
    let shown = std::fs::read_to_string(path).unwrap();
    assert_eq!(timeless(&shown), timeless(&document), "HELIOGRAPH_WRITE=1 writes it anew");
}

/// The document without what differs from run to run.
fn timeless(document: &str) -> String {
    let is_time = |word: &&str| word.parse::<f64>().is_err();
    document.split_whitespace().filter(is_time).collect::<Vec<_>>().join(" ")
}

fn document(found: &BTreeMap<Cell, Meeting>) -> String {
    let mut text = HEAD.to_owned();
    let columns: Vec<_> = KINDS.iter().map(|kind| kind.name()).collect();
    let _ = writeln!(text, "| first \\ then | {} |", columns.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(KINDS.len()));
    for first in KINDS {
        let cells = KINDS.map(|second| seconds(&found[&Cell::Kinds(first, second)]));
        let _ = writeln!(text, "| **{first}** | {} |", cells.join(" | "));
    }
    text.push_str(MIDDLE);
    for (name, _) in SPECIALS {
        let _ = writeln!(text, "| {name} | {} |", seconds(&found[&Cell::Special(name)]));
    }
    text.push_str(END);
    text
}

fn seconds(meeting: &Meeting) -> String {
    let how = if meeting.is_relayed { "relayed" } else { "direct" };
    format!("{how} {:.1} s", meeting.took.as_secs_f64())
}

const HEAD: &str = "\
# Who connects to whom, and how

This page is written by a test: `tests/lab` makes network namespaces with routers that NAT, has two Rust programs
(`examples/data_channel.rs`) meet in a room of our server, and checks that they connect by the path that theory has for them. Before
each cell a STUN client behind each router (RFC 5780) has found that it does what its name says.

Each cell says whether the path was direct, and the time from the second one's seat in the room to open channels. Two debug builds share
two cores with other cells of the grid, so a time is what to expect at worst, not at best. Rows are who was there first, columns who came.

";

const MIDDLE: &str = "
The kinds, in the words of RFC 4787:

| kind | mapping | filtering |
|---|---|---|
| open | none: a public address | none |
| full-cone | endpoint-independent | endpoint-independent |
| address-restricted | endpoint-independent | address-dependent |
| port-restricted | endpoint-independent | address and port-dependent |
| address-symmetric | address-dependent | address and port-dependent |
| symmetric | address and port-dependent | address and port-dependent |
| double | endpoint-independent, twice | address-dependent at the carrier, address and port-dependent at home |

A pair is direct unless the port of one varies and the filter of the other looks at ports: then neither can know where to send
to, or whom to let in, before it is too late.

| pair | path |
|---|---|
";

const END: &str = "
Two kinds are missing, for Rust programs reach TURN over UDP only, and the server without TLS: behind a firewall that lets no UDP out they
are told that they are not connected, behind one for TCP 443 only that the server can't be reached.
";
