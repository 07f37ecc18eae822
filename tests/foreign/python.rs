//! Clients in Python: aioice.

use crate::support::TestTls;
use crate::{relay, stream_relay, text};
use std::process::Command;

/// Runs tests/foreign/aioice_peers.py with the Python of `HELIOGRAPH_PYTHON`, which has aioice.
fn aioice(what: &str, transport: &str, host: &str, port: &str) {
    let python = std::env::var("HELIOGRAPH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/aioice_peers.py");
    let output = Command::new("timeout")
        .args(["60", &python, script, what, transport, host, port, "user", "pass"])
        .output()
        .expect("timeout runs");
    let report = text(&output);
    assert!(report.ends_with("ok\n"), "aioice {what} over {transport}:\n{report}");
}

#[test]
fn aioice_exchanges_data_over_udp() {
    for ip in ["127.0.0.1", "::1"] {
        let relay = relay(ip);
        aioice("echo", "udp", ip, &relay.turn().port().to_string());
    }
}

#[test]
fn aioice_exchanges_data_over_tcp_and_tls() {
    let (_relay, tcp, secure) = stream_relay(&TestTls::new());
    aioice("echo", "tcp", "127.0.0.1", &tcp);
    aioice("echo", "tls", "127.0.0.1", &secure);
}

#[test]
fn two_ice_agents_of_aioice_meet_by_their_relayed_candidates() {
    let (relay, tcp, _) = stream_relay(&TestTls::new());
    aioice("ice", "udp", "127.0.0.1", &relay.turn().port().to_string());
    aioice("ice", "tcp", "127.0.0.1", &tcp);
}
