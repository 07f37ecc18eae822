//! The Rust examples, run as their users run them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use support::Heliograph;

/// Starts an example; all of them are built with all the tests.
fn start(name: &str, arguments: &[&str]) -> Child {
    let tests = std::env::current_exe().unwrap();
    let built: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    let mut command = Command::new(built);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{name}: {error}; cargo build --examples first"))
}

fn finish(child: Child) -> (bool, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (status.success(), text.concat())
}

#[test]
fn four_players_of_the_game_hear_each_other_at_sixty_hertz_and_know_loss_and_latency() {
    let server = Heliograph::start(&["--http", "127.0.0.1:0", "--turn", "127.0.0.1:0"]);
    let url = server.announced("WebSocket");
    let names = ["ada", "bob", "cyd", "dan"];
    let players: Vec<Child> = names
        .iter()
        .map(|name| start("game", &["--url", url, "--name", name, "--players", "3"]))
        .collect();
    for (name, player) in names.iter().zip(players) {
        let (succeeded, out) = finish(player);
        assert!(succeeded, "{name}:\n{out}");
        for other in names.iter().filter(|other| *other != name) {
            let states = format!("{other} (");
            let line =
                out.lines().rfind(|line| line.starts_with(&states) && line.contains("states"));
            let line = line.unwrap_or_else(|| panic!("{name} says nothing of {other}:\n{out}"));
            assert!(line.contains("% lost") && line.contains("round trip"), "{line}");
            assert!(!line.contains("NaN"), "{line}");
        }
    }
}

#[test]
fn the_probe_sees_that_there_is_no_nat_on_loopback() {
    // Ports that were free a moment ago, the same on two addresses.
    let ports = [(); 2].map(|()| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    });
    let addresses: Vec<String> = [[127, 0, 0, 1], [127, 0, 0, 2]]
        .iter()
        .flat_map(|ip| ports.map(|port| SocketAddr::from((*ip, port)).to_string()))
        .collect();
    let turns = addresses.iter().flat_map(|address| ["--turn", address]);
    let server: Vec<&str> = ["relay", "--user", "ada:secret"].into_iter().chain(turns).collect();
    let _server = Heliograph::start(&server);
    let arguments = ["--server", &*addresses[0], "--local", "127.0.0.1"];
    let (succeeded, out) = finish(start("nat_probe", &arguments));
    assert!(succeeded, "{out}");
    assert!(out.contains("mapping:         none"), "{out}");
    assert!(out.contains("filtering:       endpoint-independent"), "{out}");
}

#[test]
fn the_probe_says_what_to_do_when_nobody_answers() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let arguments = ["--server", &*address, "--local", "127.0.0.1"];
    let (succeeded, out) = finish(start("nat_probe", &arguments));
    assert!(!succeeded && out.contains("is UDP blocked"), "{out}");
}
