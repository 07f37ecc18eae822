//! Clients in C, driven from Python: libnice, and GStreamer's webrtcbin, which is built on it.

use crate::support::TestTls;
use crate::{assert_ends_ok, relay, stream_relay};
use std::process::Command;

/// Runs a script of this folder with Debian's Python, the one that sees Debian's python3-gi.
fn run(script: &str, transport: &str, host: &str, port: &str) {
    let script = format!("{}/tests/foreign/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("timeout");
    command.args(["60", "/usr/bin/python3", &script]);
    assert_ends_ok(command.args([transport, host, port, "user", "pass"]));
}

#[test]
fn two_agents_of_libnice_meet_by_their_relayed_candidates() {
    let (relay4, tcp, _) = stream_relay(&TestTls::new());
    let relay6 = relay("::1");
    run("libnice_agents.py", "udp", "127.0.0.1", &relay4.turn().port().to_string());
    run("libnice_agents.py", "udp", "::1", &relay6.turn().port().to_string());
    run("libnice_agents.py", "tcp", "127.0.0.1", &tcp);
}

#[test]
fn two_webrtcbins_meet_by_their_relayed_candidates() {
    let (relay, tcp, _) = stream_relay(&TestTls::new());
    run("webrtcbin_peers.py", "udp", "127.0.0.1", &relay.turn().port().to_string());
    run("webrtcbin_peers.py", "tcp", "127.0.0.1", &tcp);
}
