//! The same packets to Debian's coturn and to the relay: every difference in the answers is listed
//! here with its reason, and a difference that is no longer there is an error too.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod differential {
    pub(super) mod client;
    pub(super) mod explained;
    pub(super) mod scripts;
}
mod support;

use differential::client::{Client, Server};
use differential::explained::{ATTRIBUTES, OUTCOMES};
use differential::scripts::SCRIPTS;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Heliograph, free_udp_port};

/// A running `turnserver`; killed when dropped.
struct Coturn {
    process: Child,
    address: SocketAddr,
}

impl Coturn {
    fn start() -> Self {
        let port = free_udp_port("127.0.0.1");
        let folder = std::env::temp_dir().join(format!("heliograph-coturn-{port}"));
        std::fs::create_dir_all(&folder).unwrap();
        let in_folder = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let process = Command::new("turnserver")
            .args(["-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", &port.to_string()])
            .args(["-a", "-u", "alice:secret", "-u", "carol:secret", "-r", "test"])
            .args(["--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls", "-f"])
            .args(["--min-port", "40000", "--max-port", "49000"])
            .args(["-b", &in_folder("db"), "--pidfile", &in_folder("pid")])
            .args(["--log-file", &in_folder("log")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("turnserver of Debian's coturn runs (tests/all.sh installs it)");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let coturn = Self { process, address };
        coturn.wait();
        coturn
    }

    /// Until it answers.
    fn wait(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let binding = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3];
        let answers = |_: &usize| {
            socket.send_to(&binding, self.address).unwrap();
            socket.recv(&mut [0; 500]).is_ok()
        };
        assert!((0..200).any(|attempt| answers(&attempt)), "coturn doesn't answer");
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn heliograph() -> Heliograph {
    Heliograph::start(&[
        "relay",
        "--turn",
        "127.0.0.1:0",
        "--user",
        "alice:secret",
        "--user",
        "carol:secret",
        "--realm",
        "test",
        "--allow-peer",
        "127.0.0.0/8",
    ])
}

#[test]
fn every_difference_from_coturn_is_explained() {
    let (coturn, heliograph) = (Coturn::start(), heliograph());
    let mut used = BTreeSet::new();
    let mut unexplained = Vec::new();
    for (name, script) in SCRIPTS {
        let run = |server, address| {
            let mut client = Client::new(server, address);
            script(&mut client);
            client.outcomes
        };
        let (ours, theirs) =
            (run(Server::Ours, heliograph.turn()), run(Server::Theirs, coturn.address));
        assert_eq!(ours.len(), theirs.len());
        for (step, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let (ours, theirs) = (ours.beside(theirs, &mut used), theirs.beside(ours, &mut used));
            if ours == theirs {
                continue;
            }
            let explained = OUTCOMES.iter().position(|known| {
                (known.script, known.step) == (*name, step)
                    && (known.ours, known.theirs) == (ours.as_str(), theirs.as_str())
            });
            match explained {
                Some(place) => _ = used.insert(format!("outcome {place}")),
                None => unexplained.push(format!("{name} {step}:\n  {ours:?}\n  {theirs:?}")),
            }
        }
    }
    assert!(unexplained.is_empty(), "ours, then coturn's:\n{}", unexplained.join("\n"));
    for (place, known) in OUTCOMES.iter().enumerate() {
        let is_used = used.contains(&format!("outcome {place}"));
        assert!(is_used, "no longer so: {} {}: {}", known.script, known.step, known.why);
    }
    for known in ATTRIBUTES {
        let is_used = used.contains(&format!("attribute {:#x}", known.kind));
        assert!(is_used, "no longer so: attribute {:#x}: {}", known.kind, known.why);
    }
}
