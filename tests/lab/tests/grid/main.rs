//! The grid: two peers, each behind each kind of NAT, meet by the path that theory has for them.
//! Rows are who was in the room first, columns who came.
//!
//! `HELIOGRAPH_WRITE=1` writes what was found to docs/nat-grid.md; without it, a whole run
//! compares.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stdout, reason = "times are to be seen with --nocapture")]

use heliograph_lab::Client::{Chromium, Rust};
use heliograph_lab::{Client, Egress, Family, Gate, Host, Kind, Nat, SERVER, World, meet, probe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

mod document;

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
    special(SPECIALS[0], &|world| {
        let home = world.behind(Kind::Symmetric)?;
        Ok([world.host("ada", &home, Family::V4)?, world.host("bob", &home, Family::V4)?])
    });
}

#[test]
fn two_customers_of_a_carrier_that_hairpins_go_direct() {
    special(SPECIALS[1], &|world| customers(world, Nat::PORT_RESTRICTED.with_hairpin()));
}

#[test]
fn two_customers_of_a_carrier_that_does_not_hairpin_are_relayed() {
    special(SPECIALS[2], &|world| customers(world, Nat::PORT_RESTRICTED));
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
    special(SPECIALS[3], &|world| peers(world, [Kind::Ipv6Only, Kind::Ipv6Only]));
}

#[test]
fn ipv6_only_and_a_port_restricted_nat_are_relayed() {
    special(SPECIALS[4], &|world| peers(world, [Kind::Ipv6Only, Kind::PortRestricted]));
}

#[test]
fn ipv6_only_and_a_symmetric_nat_are_relayed() {
    special(SPECIALS[5], &|world| peers(world, [Kind::Ipv6Only, Kind::Symmetric]));
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
    ada.line("can't reach 203.0.113.10:8080: no answer within", PATIENCE).unwrap();
}

/// Cells with Chromium: those of the grid that are most different, and where only it gets through.
const BROWSERS: [[(Client, Kind); 2]; 14] = [
    [(Chromium, Kind::Open), (Chromium, Kind::Open)],
    [(Chromium, Kind::PortRestricted), (Chromium, Kind::PortRestricted)],
    [(Chromium, Kind::AddressRestricted), (Chromium, Kind::Symmetric)],
    [(Chromium, Kind::Symmetric), (Chromium, Kind::PortRestricted)],
    [(Chromium, Kind::Symmetric), (Chromium, Kind::Symmetric)],
    [(Chromium, Kind::Double), (Chromium, Kind::FullCone)],
    [(Chromium, Kind::Ipv6Only), (Chromium, Kind::Ipv6Only)],
    [(Chromium, Kind::UdpBlocked), (Chromium, Kind::Open)],
    [(Chromium, Kind::UdpBlocked), (Chromium, Kind::UdpBlocked)],
    [(Chromium, Kind::Only443), (Chromium, Kind::PortRestricted)],
    [(Chromium, Kind::Only443), (Chromium, Kind::UdpBlocked)],
    [(Chromium, Kind::PortRestricted), (Rust, Kind::PortRestricted)],
    [(Rust, Kind::Symmetric), (Chromium, Kind::PortRestricted)],
    [(Rust, Kind::Symmetric), (Chromium, Kind::Only443)],
];

/// Makes a test of each of them.
macro_rules! browsers {
    ($($name:ident $number:expr),* $(,)?) => {
        mod browsers {
            $(
                #[test]
                fn $name() {
                    crate::browsers_meet(crate::BROWSERS[$number]);
                }
            )*
        }
    };
}

browsers! {
    open_and_open 0,
    port_restricted_and_port_restricted 1,
    address_restricted_and_symmetric 2,
    symmetric_and_port_restricted 3,
    symmetric_and_symmetric 4,
    double_and_full_cone 5,
    ipv6_only_and_ipv6_only 6,
    udp_blocked_and_open 7,
    udp_blocked_and_udp_blocked 8,
    only_443_and_port_restricted 9,
    only_443_and_udp_blocked 10,
    port_restricted_and_port_restricted_rust 11,
    symmetric_rust_and_port_restricted 12,
    symmetric_rust_and_only_443 13,
}

/// For so long a program may try before it says that it doesn't work.
const PATIENCE: Duration = Duration::from_secs(30);

/// A place in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Kinds(Kind, Kind),
    Special(&'static str),
    Browsers([(Client, Kind); 2]),
}

fn kinds_meet(first: Kind, second: Kind) {
    check(Cell::Kinds(first, second), [Rust; 2], !first.is_direct_with(second), &|world| {
        let hosts = peers(world, [first, second])?;
        let _server = world.serve_probes()?;
        for (host, kind) in hosts.iter().zip([first, second]) {
            let found = probe(host.space())?;
            assert_eq!(Some((found.mapping, found.filtering)), kind.behavior(), "{kind}");
        }
        Ok(hosts)
    });
}

fn special((name, is_relayed): (&'static str, bool), build: Build<'_>) {
    check(Cell::Special(name), [Rust; 2], is_relayed, build);
}

fn browsers_meet(cell: [(Client, Kind); 2]) {
    let ([first, second], clients) = (cell.map(|(_, kind)| kind), cell.map(|(client, _)| client));
    let is_relayed = !first.is_direct_with(second);
    check(Cell::Browsers(cell), clients, is_relayed, &|world| peers(world, [first, second]));
}

fn peers(world: &mut World, [first, second]: [Kind; 2]) -> anyhow::Result<[Host; 2]> {
    Ok([world.peer("ada", first)?, world.peer("bob", second)?])
}

/// Makes the two hosts of a cell.
type Build<'a> = &'a dyn Fn(&mut World) -> anyhow::Result<[Host; 2]>;

/// Has two meet in a world of their own. A busy machine can starve them: what fails is tried once
/// more, and that is said.
fn check(cell: Cell, clients: [Client; 2], is_relayed: bool, build: Build<'_>) {
    let play = || {
        let mut world = World::new()?;
        let [first, second] = build(&mut world)?;
        let tls = clients.contains(&Chromium).then(Tls::new);
        let flags = tls.iter().flat_map(Tls::flags).collect::<Vec<_>>();
        let _server = world.serve(&flags.iter().map(String::as_str).collect::<Vec<_>>())?;
        let meeting = meet("cell", [(&first, clients[0]), (&second, clients[1])])?;
        anyhow::ensure!(meeting.is_relayed == is_relayed, "{meeting}");
        Ok(meeting)
    };
    let meeting = play().unwrap_or_else(|error| {
        println!("{cell:?} is tried again, the first time: {error:#}");
        play().unwrap()
    });
    println!("{cell:?}: {meeting}");
    document::record(cell, meeting);
}

/// A certificate of the server, and its key, in files.
struct Tls {
    files: [PathBuf; 2],
}

impl Tls {
    fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("heliograph-lab-{}-{number}", std::process::id());
        let file = |end: &str| std::env::temp_dir().join(format!("{name}.{end}"));
        let files = ["crt", "key"].map(file);
        let made = rcgen::generate_simple_self_signed([SERVER.to_string()]).unwrap();
        std::fs::write(&files[0], made.cert.pem()).unwrap();
        std::fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
        Self { files }
    }

    /// Has the server speak HTTPS and TURN over TCP and TLS, the two with TLS on one port.
    fn flags(&self) -> Vec<String> {
        let [web, turn] = [format!("{SERVER}:443"), format!("{SERVER}:3478")];
        let [cert, key] = self.files.each_ref().map(|file| file.to_str().unwrap().to_owned());
        let flags = ["--https", &web, "--turn-tls", &web, "--turn-tcp", &turn];
        let host = SERVER.to_string();
        let files = ["--public-host", &host, "--tls-cert", &cert, "--tls-key", &key];
        [&flags[..], &files].concat().into_iter().map(str::to_owned).collect()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}
