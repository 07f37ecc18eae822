//! The real binary as a child process, for the tests of the root package.

#![allow(dead_code, reason = "each test file uses its part of it")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

/// A running `heliograph`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Heliograph {
    process: Child,
    banner: Vec<String>,
    logs: Option<JoinHandle<String>>,
}

impl Heliograph {
    /// Starts the binary and waits until it says that it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut process = command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stderr = process.stderr.take().expect("piped");
        let logs = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        let mut banner = Vec::new();
        for line in stdout.lines() {
            let line = line.expect("the banner is text");
            let ready = line.contains("Ctrl-C");
            banner.push(line);
            if ready {
                return Self { process, banner, logs: Some(logs) };
            }
        }
        let _ = process.wait();
        panic!("heliograph {arguments:?} ended:\n{}", logs.join().expect("no panic"));
    }

    /// What it printed at its start.
    pub(crate) fn banner(&self) -> String {
        self.banner.join("\n")
    }

    /// The first word after `label` in the banner.
    pub(crate) fn announced(&self, label: &str) -> &str {
        let line = self.banner.iter().find(|line| line.trim_start().starts_with(label));
        let line = line.unwrap_or_else(|| panic!("no {label} in\n{}", self.banner()));
        line.split_whitespace().nth(1).expect("a value")
    }

    /// The address of HTTP and WebSocket.
    pub(crate) fn http(&self) -> SocketAddr {
        let page = self.announced("Page");
        page.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address")
    }

    /// The first STUN/TURN address.
    pub(crate) fn turn(&self) -> SocketAddr {
        self.announced("STUN").trim_start_matches("stun:").parse().expect("an address")
    }

    /// Sends a signal, `TERM` or `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for the end; gives the status and all logs.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.process.wait().expect("it can be waited for");
        let logs = self.logs.take().expect("taken once").join().expect("no panic");
        (status, logs)
    }
}

impl Drop for Heliograph {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the binary to its end; gives exit code, standard output and standard error.
///
/// One that doesn't end by itself is ended after a minute, with code 124.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new("timeout");
    command.arg("60").arg(env!("CARGO_BIN_EXE_heliograph"));
    let output = bare(command, arguments).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
    (output.status.code().expect("not killed"), text(output.stdout), text(output.stderr))
}

/// The binary with an environment that sets nothing.
pub(crate) fn command(arguments: &[&str]) -> Command {
    bare(Command::new(env!("CARGO_BIN_EXE_heliograph")), arguments)
}

fn bare(mut command: Command, arguments: &[&str]) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HELIOGRAPH_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Credentials as `heliograph credentials` prints them.
pub(crate) fn credentials(secret: &str, ttl_s: u64) -> (String, String) {
    let ttl = ttl_s.to_string();
    let (code, out, err) = run(&["credentials", "--turn-secret", secret, "--ttl", &ttl]);
    assert_eq!(code, 0, "{err}");
    let value = |label: &str| {
        let line = out.lines().find(|line| line.starts_with(label)).expect("the line");
        line.split_whitespace().nth(1).expect("a value").to_owned()
    };
    (value("username"), value("password"))
}

/// A UDP port of `ip` that nobody uses at the moment.
pub(crate) fn free_udp_port(ip: &str) -> u16 {
    let socket = UdpSocket::bind(SocketAddr::new(ip.parse().expect("an IP"), 0));
    socket.and_then(|socket| socket.local_addr()).expect("a free port").port()
}
