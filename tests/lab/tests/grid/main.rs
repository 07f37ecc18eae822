//! The grid: two peers, each behind each kind of NAT, meet by the path that theory has for them.
//! Rows are who was in the room first, columns who came.
//!
//! `HELIOGRAPH_WRITE=1` writes what was found to docs/nat-grid.md; without it, a whole run
//! compares: with that page, and with what the simulation of the same pairs finds.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stdout, reason = "times are to be seen with --nocapture")]

use heliograph_lab::Client::{Chromium, Rust};
use heliograph_lab::grid::{Meeting, Pair, Path};
use heliograph_lab::{Client, Host, Kind, SERVER, World, meet, probe};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

mod document;

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

#[test]
fn two_in_one_home_need_no_nat() {
    pair_meets(Pair::OneHome(Kind::Symmetric));
}

#[test]
fn two_customers_of_a_carrier_that_hairpins_go_direct() {
    pair_meets(Pair::OneCarrier { hairpin: true });
}

#[test]
fn two_customers_of_a_carrier_that_does_not_hairpin_are_relayed() {
    pair_meets(Pair::OneCarrier { hairpin: false });
}

#[test]
fn a_nat_that_forgets_soon_keeps_nobody_from_a_direct_path() {
    pair_meets(Pair::Kinds(Kind::ShortLived, Kind::PortRestricted));
}

#[test]
fn a_nat_that_forgets_soon_keeps_nobody_from_a_relayed_path() {
    pair_meets(Pair::Kinds(Kind::ShortLived, Kind::Symmetric));
}

#[test]
fn two_with_ipv6_only_go_direct_through_their_firewalls() {
    pair_meets(Pair::Kinds(Kind::Ipv6Only, Kind::Ipv6Only));
}

#[test]
fn ipv6_only_and_a_port_restricted_nat_are_relayed() {
    pair_meets(Pair::Kinds(Kind::Ipv6Only, Kind::PortRestricted));
}

#[test]
fn ipv6_only_and_a_symmetric_nat_are_relayed() {
    pair_meets(Pair::Kinds(Kind::Ipv6Only, Kind::Symmetric));
}

#[test]
fn a_rust_peer_behind_a_firewall_without_udp_is_told_that_it_is_not_connected() {
    let mut world = World::new().unwrap();
    let _server = world.serve(&[]).unwrap();
    let pair = Pair::Kinds(Kind::UdpBlocked, Kind::Open);
    let [ada, bob] = world.pair(pair).unwrap();
    let ada = ada.join("ada", &["--room", "blocked"]).unwrap();
    let bob = bob.join("bob", &["--room", "blocked"]).unwrap();
    for program in [ada, bob] {
        program.line(" not connected: ", PATIENCE).unwrap();
    }
    document::record(pair, None);
}

#[test]
fn a_rust_peer_behind_a_firewall_for_the_web_only_is_told_that_it_cannot_reach_the_server() {
    let mut world = World::new().unwrap();
    let _server = world.serve(&[]).unwrap();
    let pair = Pair::Kinds(Kind::Only443, Kind::Open);
    let [ada, _] = world.pair(pair).unwrap();
    let ada = ada.join("ada", &["--room", "blocked"]).unwrap();
    ada.line("can't reach 203.0.113.10:8080: no answer within", PATIENCE).unwrap();
    document::record(pair, None);
}

/// A pair of which at least one is a browser.
type Browsers = [(Client, Kind); 2];

/// Cells with Chromium: those of the grid that are most different, and where only it gets through.
const BROWSERS: [Browsers; 14] = [
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

fn kinds_meet(first: Kind, second: Kind) {
    let pair = Pair::Kinds(first, second);
    let meeting = check(&pair, [Rust; 2], pair.path(), &|world| {
        let hosts = world.pair(pair)?;
        let _server = world.serve_probes()?;
        for (host, kind) in hosts.iter().zip([first, second]) {
            let found = probe(host.space())?;
            let is_it = Some((found.mapping, found.filtering)) == kind.behavior();
            anyhow::ensure!(is_it, "{kind}, but the probe found {found:?}");
        }
        Ok(hosts)
    });
    document::record(pair, Some(meeting));
}

fn pair_meets(pair: Pair) {
    let meeting = check(&pair, [Rust; 2], pair.path(), &|world| world.pair(pair));
    document::record(pair, Some(meeting));
}

fn browsers_meet(cell: Browsers) {
    let ([first, second], clients) = (cell.map(|(_, kind)| kind), cell.map(|(client, _)| client));
    // A browser always gets to its relay.
    let path = if first.is_direct_with(second) { Path::Direct } else { Path::Relayed };
    let pair = Pair::Kinds(first, second);
    let meeting = check(&cell, clients, path, &|world| world.pair(pair));
    document::record_browsers(cell, meeting);
}

/// Makes the two hosts of a cell.
type Build<'a> = &'a dyn Fn(&mut World) -> anyhow::Result<[Host; 2]>;

/// Has two meet in a world of their own. A busy machine can starve them: what fails is tried once
/// more, and that is said.
fn check(cell: &dyn Debug, clients: [Client; 2], path: Path, build: Build<'_>) -> Meeting {
    let play = || {
        let mut world = World::new()?;
        let [first, second] = build(&mut world)?;
        let tls = clients.contains(&Chromium).then(Tls::new);
        let flags = tls.iter().flat_map(Tls::flags).collect::<Vec<_>>();
        let _server = world.serve(&flags.iter().map(String::as_str).collect::<Vec<_>>())?;
        let meeting = meet("cell", [(&first, clients[0]), (&second, clients[1])])?;
        anyhow::ensure!(meeting.path() == path, "{meeting}");
        Ok(meeting)
    };
    let meeting = play().unwrap_or_else(|error| {
        println!("{cell:?} is tried again, the first time: {error:#}");
        play().unwrap()
    });
    println!("{cell:?}: {meeting}");
    meeting
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
