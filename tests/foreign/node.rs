//! WebRTC libraries for Node.js: werift, wrtc (libwebrtc) and node-datachannel (libdatachannel).

use crate::support::{Heliograph, TestTls};
use crate::text;
use std::process::{Command, Output};

const LIBRARIES: [&str; 3] = ["werift", "wrtc", "node-datachannel"];

/// A relay and its URLs for UDP, TCP and TLS.
///
/// Nothing is open but what always is: the relayed addresses of the relay itself. So peers can't
/// meet by another path, which libjuice would find, whatever its policy.
fn relay_at(ip: &str, tls: &TestTls) -> (Heliograph, [String; 3]) {
    let more = ["relay", "--user", "user:pass", "--realm", "test"];
    let relay = Heliograph::start_with_streams(ip, tls, &more);
    let banner = relay.banner();
    let urls = banner.split_whitespace().filter(|word| word.contains("?transport="));
    let urls: Vec<String> = urls.map(str::to_owned).collect();
    (relay, urls.try_into().expect("three URLs are announced"))
}

/// Runs tests/foreign/node/meet.js: the first library offers, the other one answers.
fn run(offerer: &str, answerer: &str, url: &str, password: &str) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/node/meet.js");
    Command::new("timeout")
        .args(["60", "node", script, offerer, answerer, url, "user", password])
        .output()
        .expect("timeout runs")
}

fn assert_they_meet(offerer: &str, answerer: &str, url: &str) {
    let output = run(offerer, answerer, url, "pass");
    let met = output.status.success() && output.stdout == b"ok\n";
    assert!(met, "{offerer} and {answerer} by {url}:\n{}", text(&output));
}

#[test]
fn werift_peers_meet_by_relayed_candidates_over_udp_tcp_and_tls() {
    let (_relay, urls) = relay_at("127.0.0.1", &TestTls::new());
    for url in urls {
        assert_they_meet("werift", "werift", &url);
    }
}

#[test]
fn libwebrtc_peers_meet_by_relayed_candidates_over_udp_and_tcp() {
    let (_relay, [udp, tcp, _]) = relay_at("127.0.0.1", &TestTls::new());
    for url in [udp, tcp] {
        assert_they_meet("wrtc", "wrtc", &url);
    }
}

#[test]
fn libwebrtc_peers_meet_by_relayed_candidates_over_ipv6() {
    let (_relay, [udp, tcp, _]) = relay_at("[::1]", &TestTls::new());
    for url in [udp, tcp] {
        assert_they_meet("wrtc", "wrtc", &url);
    }
}

#[test]
fn libdatachannel_peers_meet_by_relayed_candidates_over_udp() {
    let (_relay, [udp, _, _]) = relay_at("127.0.0.1", &TestTls::new());
    assert_they_meet("node-datachannel", "node-datachannel", &udp);
}

#[test]
fn peers_of_different_libraries_meet_by_relayed_candidates() {
    let (_relay, [udp, _, _]) = relay_at("127.0.0.1", &TestTls::new());
    for (number, offerer) in LIBRARIES.iter().enumerate() {
        assert_they_meet(offerer, LIBRARIES[(number + 1) % LIBRARIES.len()], &udp);
    }
}

#[test]
fn peers_with_a_wrong_password_get_no_relayed_candidate() {
    let (_relay, [udp, _, _]) = relay_at("127.0.0.1", &TestTls::new());
    for library in LIBRARIES {
        let output = run(library, library, &udp, "wrong");
        let report = text(&output);
        assert_eq!(output.status.code(), Some(1), "{report}");
        assert!(report.contains("no relayed candidate"), "{report}");
    }
}
