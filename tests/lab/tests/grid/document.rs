//! docs/nat-grid.md: written from what was found, or compared with it.

use crate::{BROWSERS, Cell, KINDS, SPECIALS};
use heliograph_lab::{Client, Kind, Meeting};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

/// Keeps what was found, and looks at the document when all is.
pub(crate) fn record(cell: Cell, meeting: Meeting) {
    static FOUND: Mutex<BTreeMap<Cell, Meeting>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().unwrap();
    found.insert(cell, meeting);
    if found.len() < KINDS.len() * KINDS.len() + SPECIALS.len() + BROWSERS.len() {
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
    for cell in BROWSERS {
        let [first, second] = cell.map(|(client, kind)| client_name(client, kind));
        let _ =
            writeln!(text, "| {first} | {second} | {} |", seconds(&found[&Cell::Browsers(cell)]));
    }
    text
}

fn client_name(client: Client, kind: Kind) -> String {
    match client {
        Client::Rust => format!("Rust, {kind}"),
        Client::Chromium => format!("Chromium, {kind}"),
    }
}

fn seconds(meeting: &Meeting) -> String {
    let how = if meeting.is_relayed { "relayed" } else { "direct" };
    format!("{how} {:.1} s", meeting.took.as_secs_f64())
}

const HEAD: &str = "\
# Who connects to whom, and how

This page is written by a test: `tests/lab` makes network namespaces with routers that NAT, has two
programs meet in a room of our server (`examples/data_channel.rs`, and our page in Chromium), and
checks that they connect by the path that theory has for them. Before each cell of the first table
a STUN client behind each router (RFC 5780) has found that it does what its name says.

Each cell says whether the path was direct, and the time from the second one's seat in the room to
open channels. Two debug builds share two cores with other cells of the grid, so a time is what to
expect at worst, not at best. Rows are who was there first, columns who came.

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
| double | endpoint-independent twice | address-dependent before port-restricted |

A pair is direct unless the port of one varies and the filter of the other looks at ports: then
neither can know where to send to, or whom to let in.

| pair | path |
|---|---|
";

const END: &str = "
Rust programs reach TURN over UDP only, and the server without TLS. Behind a firewall that lets no
UDP out they are told that they are not connected, behind one for TCP 443 only that the server
can't be reached. Browsers get through, by TURN over TCP, and by TURN and HTTPS that share port
443:

| first | then | path |
|---|---|---|
";
