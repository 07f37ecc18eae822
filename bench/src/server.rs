//! A server that is measured, as a child process with one CPU.

use crate::confine;
use anyhow::{Context as _, ensure};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddrV4;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;

/// The CPU of the server.
pub const SERVER_CPU: usize = 0;

/// The CPU of the benchmark.
pub const OWN_CPU: usize = 1;

/// The process of a server: killed when dropped, if it is a child.
#[derive(Debug)]
pub enum Process {
    /// Started by us.
    Ours(Child),
    /// One that ran already, by its id.
    External(u32),
}

impl Process {
    /// Its id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        match self {
            Self::Ours(child) => child.id(),
            Self::External(pid) => *pid,
        }
    }

    /// Starts a program on the server's CPU, whose standard output says when it is ready.
    ///
    /// # Errors
    /// If it doesn't start.
    pub fn start(mut command: Command) -> anyhow::Result<(Self, Output)> {
        confine(&mut command, SERVER_CPU);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("no standard output")?;
        Ok((Self::Ours(child), Output(BufReader::new(stdout))))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Self::Ours(child) = self {
            // It fails only if the server has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a server prints: to be kept as long as it, so that it may go on to print.
#[derive(Debug)]
pub struct Output(BufReader<ChildStdout>);

impl Output {
    /// Waits for the next line.
    ///
    /// # Errors
    /// If there is none any more.
    pub fn next_line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line)? > 0, "it ended");
        Ok(line)
    }
}

/// Has a child start without what this process' environment tells a heliograph.
pub fn forget_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HELIOGRAPH_") {
            command.env_remove(name);
        }
    }
}

/// A server that runs already: its address and process, written `127.0.0.1:3478,1234`.
#[derive(Clone, Copy, Debug)]
pub struct External {
    /// Where it listens.
    pub address: SocketAddrV4,
    /// Its process.
    pub pid: u32,
}

impl FromStr for External {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(',');
        let parsed = parts.and_then(|(address, pid)| {
            Some(Self { address: address.parse().ok()?, pid: pid.parse().ok()? })
        });
        parsed.ok_or_else(|| "such as 127.0.0.1:3478,1234".to_owned())
    }
}
