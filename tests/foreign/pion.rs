//! Clients in Go: pion's TURN client, and pion's WebRTC.

use crate::support::TestTls;
use crate::{assert_ends_ok, stream_relay, text};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// tests/foreign/pion as a program, built once from the sources that Debian packages.
fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let program = folder.join("pion").into_os_string().into_string().expect("UTF-8");
        let output = Command::new("go")
            .args(["build", "-o", &program, "."])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/pion"))
            .env("GO111MODULE", "off")
            .env("GOFLAGS", "")
            .env("GOPATH", "/usr/share/gocode")
            .env("GOCACHE", folder.join("go"))
            .output()
            .expect("go of Debian's golang-go runs (tests/all.sh installs it)");
        assert!(output.status.success(), "{}", text(&output));
        program
    })
}

/// Runs the program, which trusts the certificate of `tls` alone.
fn pion(what: &str, transport: &str, port: &str, tls: &TestTls) {
    let (cert, _) = tls.files();
    assert_ends_ok(
        Command::new("timeout")
            .args(["60", program(), what, transport, "localhost", port, "user", "pass"])
            .env("SSL_CERT_FILE", cert),
    );
}

#[test]
fn pion_exchanges_data_over_udp_tcp_and_tls() {
    let tls = TestTls::new();
    let (relay, tcp, secure) = stream_relay(&tls);
    pion("echo", "udp", &relay.turn().port().to_string(), &tls);
    pion("echo", "tcp", &tcp, &tls);
    pion("echo", "tls", &secure, &tls);
}

#[test]
fn two_peers_of_pion_meet_by_their_relayed_candidates() {
    let tls = TestTls::new();
    let (relay, tcp, secure) = stream_relay(&tls);
    pion("webrtc", "udp", &relay.turn().port().to_string(), &tls);
    pion("webrtc", "tcp", &tcp, &tls);
    pion("webrtc", "tls", &secure, &tls);
}
