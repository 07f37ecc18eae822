//! Clients in Python: aioice, and aiortc, which is built on it.

use crate::support::TestTls;
use crate::{assert_ends_ok, relay, stream_relay};
use std::process::Command;

/// A script of this folder, for the Python of `HELIOGRAPH_PYTHON`, which has aioice and aiortc.
fn script(name: &str, arguments: &[&str]) -> Command {
    let python = std::env::var("HELIOGRAPH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = format!("{}/tests/foreign/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("timeout");
    command.args(["60", &python, &script]).args(arguments).args(["user", "pass"]);
    command
}

fn aioice(what: &str, transport: &str, host: &str, port: &str) {
    assert_ends_ok(&mut script("aioice_peers.py", &[what, transport, host, port]));
}

/// Runs two peers, which trust the certificate of `tls` alone.
fn aiortc(url: &str, tls: &TestTls) {
    let (cert, _) = tls.files();
    assert_ends_ok(script("aiortc_peers.py", &[url]).env("SSL_CERT_FILE", cert));
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

#[test]
fn two_peers_of_aiortc_meet_by_their_relayed_candidates() {
    let tls = TestTls::new();
    let (relay, tcp, secure) = stream_relay(&tls);
    aiortc(&format!("turn:{}", relay.turn()), &tls);
    aiortc(&format!("turn:127.0.0.1:{tcp}?transport=tcp"), &tls);
    aiortc(&format!("turns:localhost:{secure}?transport=tcp"), &tls);
}
