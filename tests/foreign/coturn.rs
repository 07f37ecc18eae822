//! coturn's clients: `turnutils_uclient`, `turnutils_stunclient`, `turnutils_natdiscovery`.

use crate::support::{self, Heliograph, TestTls, free_udp_port};
use crate::{relay, stream_relay, text};
use std::process::{Command, Stdio};

/// An echo peer of coturn for the clients to talk to through the relay.
struct EchoPeer {
    process: std::process::Child,
    port: u16,
}

impl EchoPeer {
    fn start(ip: &str) -> Self {
        let port = free_udp_port(ip);
        let process = Command::new("turnutils_peer")
            .args(["-L", ip, "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("turnutils_peer of Debian's coturn runs (tests/all.sh installs it)");
        Self { process, port }
    }
}

impl Drop for EchoPeer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs coturn's client against the relay; `arguments` as on a command line.
fn uclient(relay: &Heliograph, arguments: &str) -> String {
    let turn = relay.turn();
    let output = Command::new("turnutils_uclient")
        .args(["-p", &turn.port().to_string()])
        .args(arguments.split_whitespace())
        .arg(turn.ip().to_string())
        .output()
        .expect("turnutils_uclient of Debian's coturn runs (tests/all.sh installs it)");
    text(&output)
}

/// Asserts that every message of every client came back.
fn assert_no_loss(report: &str, messages: usize) {
    let sent = format!("tot_send_msgs={messages}, tot_recv_msgs={messages}");
    assert!(report.contains(&sent), "expected {sent} in:\n{report}");
    assert!(report.contains("Total lost packets 0 "), "{report}");
}

#[test]
fn uclient_gets_every_message_back_over_channels() {
    let relay = relay("127.0.0.1");
    let peer = EchoPeer::start("127.0.0.1");
    let port = peer.port.to_string();
    let report = uclient(&relay, &format!("-u user -w pass -e 127.0.0.1 -r {port} -m 5 -n 40 -c"));
    assert_no_loss(&report, 200);
}

#[test]
fn uclient_gets_every_message_back_over_indications() {
    let relay = relay("127.0.0.1");
    let peer = EchoPeer::start("127.0.0.1");
    let port = peer.port.to_string();
    let report =
        uclient(&relay, &format!("-u user -w pass -e 127.0.0.1 -r {port} -m 5 -n 40 -s -c"));
    assert_no_loss(&report, 200);
}

fn uclient_by_stream(port: &str, peer: &EchoPeer, more: &[&str]) -> String {
    let peer = peer.port.to_string();
    let output = Command::new("turnutils_uclient")
        .args(["-p", port, "-u", "user", "-w", "pass", "-e", "127.0.0.1", "-r", &peer])
        .args(["-m", "5", "-n", "40", "-c", "-t"])
        .args(more)
        .arg("127.0.0.1")
        .output()
        .expect("turnutils_uclient of Debian's coturn runs (tests/all.sh installs it)");
    text(&output)
}

#[test]
fn uclient_gets_every_message_back_over_tcp() {
    let (_relay, tcp, _) = stream_relay(&TestTls::new());
    let peer = EchoPeer::start("127.0.0.1");
    assert_no_loss(&uclient_by_stream(&tcp, &peer, &[]), 200);
    assert_no_loss(&uclient_by_stream(&tcp, &peer, &["-s"]), 200);
}

/// Over TLS the client loses some of its own messages, whatever the server.
#[test]
fn uclient_gets_messages_back_over_tls() {
    let (_relay, _, secure) = stream_relay(&TestTls::new());
    let peer = EchoPeer::start("127.0.0.1");
    let report = uclient_by_stream(&secure, &peer, &["-S"]);
    let came = report.rsplit("tot_recv_msgs=").next().expect("a report");
    let came: String = came.chars().take_while(char::is_ascii_digit).collect();
    assert!(came.parse().is_ok_and(|came: u32| came >= 50), "{report}");
}

/// NAT behaviour discovery (RFC 5780) needs two addresses with the same two ports.
#[test]
fn natdiscovery_finds_no_nat_on_loopback() {
    let (one, other) = ("127.0.0.1", "127.0.0.2");
    let ports = [free_udp_port(one), free_udp_port(other)];
    let address = |ip: &str, port: u16| format!("{ip}:{port}");
    let [a, b] = ports.map(|port| address(one, port));
    let [c, d] = ports.map(|port| address(other, port));
    let _relay = Heliograph::start(&[
        "relay",
        "--turn",
        &a,
        "--turn",
        &b,
        "--turn",
        &c,
        "--turn",
        &d,
        "--user",
        "user:pass",
    ]);
    let output = Command::new("turnutils_natdiscovery")
        .args(["-m", "-f", "-p", &ports[0].to_string(), one])
        .output()
        .expect("turnutils_natdiscovery of Debian's coturn runs (tests/all.sh installs it)");
    let report = text(&output);
    assert!(report.contains(&format!("Other addr: : {d}")), "{report}");
    assert!(report.contains("Endpoint Independent Mapping"), "{report}");
    assert!(report.contains("Endpoint Independent Filtering"), "{report}");
}

/// Each client has a TCP allocation (RFC 6062), and connects to that of another one.
#[test]
fn uclients_talk_over_tcp_allocations() {
    let (_relay, tcp, _) = stream_relay(&TestTls::new());
    let output = Command::new("turnutils_uclient")
        .args(["-T", "-p", &tcp, "-u", "user", "-w", "pass", "-m", "2", "-n", "20", "127.0.0.1"])
        .output()
        .expect("turnutils_uclient of Debian's coturn runs (tests/all.sh installs it)");
    assert_no_loss(&text(&output), 40);
}

/// Without `-c` each client of coturn's wants a port for RTCP beside that for RTP: EVEN-PORT with
/// the R bit, and from its second socket the RESERVATION-TOKEN.
#[test]
fn uclient_gets_pairs_of_ports() {
    let relay = relay("127.0.0.1");
    let peer = EchoPeer::start("127.0.0.1");
    let port = peer.port.to_string();
    let report = uclient(&relay, &format!("-v -u user -w pass -e 127.0.0.1 -r {port} -m 4 -n 20"));
    assert_no_loss(&report, 80);
    let relayed = report.lines().filter_map(|line| line.split_once("relay addr: 127.0.0.1:"));
    let ports: Vec<u16> =
        relayed.map(|(_, port)| port.trim().parse().expect("a port number")).collect();
    assert!(ports.len() >= 4 && ports.len().is_multiple_of(2), "{report}");
    for pair in ports.chunks(2) {
        assert!(pair[0].is_multiple_of(2) && pair[0] + 1 == pair[1], "{pair:?}");
    }
}

#[test]
fn uclients_talk_relay_to_relay() {
    let relay = relay("127.0.0.1");
    let report = uclient(&relay, "-u user -w pass -y -m 4 -n 40 -c");
    assert_no_loss(&report, 160);
}

#[test]
fn uclient_is_served_over_ipv6() {
    let relay = relay("::1");
    let peer = EchoPeer::start("::1");
    let port = peer.port.to_string();
    let report = uclient(&relay, &format!("-u user -w pass -x -e ::1 -r {port} -m 2 -n 20 -c"));
    assert_no_loss(&report, 40);
}

#[test]
fn uclient_with_a_minted_credential_is_served_and_with_an_old_one_is_not() {
    let relay = Heliograph::start(&[
        "relay",
        "--turn",
        "127.0.0.1:0",
        "--turn-secret",
        "0123456789abcdef",
        "--realm",
        "test",
        "--allow-peer",
        "127.0.0.0/8",
    ]);
    let peer = EchoPeer::start("127.0.0.1");
    let port = peer.port.to_string();
    let run = |username: &str, password: &str| {
        uclient(
            &relay,
            &format!("-u {username} -w {password} -e 127.0.0.1 -r {port} -m 2 -n 20 -c"),
        )
    };
    let (username, password) = support::credentials("0123456789abcdef", 3600);
    assert_no_loss(&run(&username, &password), 40);
    let (username, password) = support::credentials("0123456789abcdef", 0);
    let refused = run(&username, &password);
    assert!(!refused.contains("tot_recv_msgs=40"), "{refused}");
}

#[test]
fn stunclient_learns_its_address() {
    let relay = relay("127.0.0.1");
    let turn = relay.turn();
    let output = Command::new("turnutils_stunclient")
        .args(["-p", &turn.port().to_string(), &turn.ip().to_string()])
        .output()
        .expect("turnutils_stunclient of Debian's coturn runs (tests/all.sh installs it)");
    let report = text(&output);
    assert!(report.contains("UDP reflexive addr: 127.0.0.1:"), "{report}");
}
