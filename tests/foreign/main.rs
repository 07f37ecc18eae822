//! Clients that nobody here wrote, against the real binary: a file for each kind, with the programs
//! that drive them beside it. `tests/all.sh` installs what they need.

#[path = "../support/mod.rs"]
mod support;

mod coturn;
mod gstreamer;
mod node;
mod pion;
mod python;

use std::net::SocketAddr;
use std::process::{Command, Output};
use support::{Heliograph, TestTls};

pub(crate) fn relay(ip: &str) -> Heliograph {
    let turn = SocketAddr::new(ip.parse().expect("an IP"), 0).to_string();
    Heliograph::start(&[
        "relay",
        "--turn",
        &turn,
        "--user",
        "user:pass",
        "--realm",
        "test",
        "--allow-peer",
        "127.0.0.0/8",
        "--allow-peer",
        "::1/128",
    ])
}

/// A relay that listens on TCP and TLS too, and the ports of these.
pub(crate) fn stream_relay(tls: &TestTls) -> (Heliograph, String, String) {
    let more = ["relay", "--user", "user:pass", "--realm", "test", "--allow-peer", "127.0.0.0/8"];
    let relay = Heliograph::start_with_streams("127.0.0.1", tls, &more);
    let port = |begin: &str| relay.port(begin, "?transport=tcp").to_string();
    let (tcp, secure) = (port("turn:127.0.0.1:"), port("turns:127.0.0.1:"));
    (relay, tcp, secure)
}

/// Asserts that a program says `ok` at its end.
pub(crate) fn assert_ends_ok(command: &mut Command) {
    let output = command.output().expect("it runs");
    let report = text(&output);
    assert!(output.status.success() && report.ends_with("ok\n"), "{command:?}:\n{report}");
}

pub(crate) fn text(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
