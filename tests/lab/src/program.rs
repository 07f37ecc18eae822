//! Programs that run in a world, and what they print.

use crate::probe::PROBE_PORTS;
use crate::world::{Host, PUBLIC, SERVER, SERVER_OTHER, SERVER_V6, World};
use anyhow::{Context as _, Result, bail, ensure};
use heliograph_base::{Clock, Time};
use std::io::{BufRead as _, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Where the world's server speaks HTTP.
const HTTP_PORT: u16 = 8080;

/// How long a server may take to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How often is looked whether a program has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// Lines that are kept of a program; more are read and forgotten.
const LINES_MAX: usize = 4096;

/// A program that runs; killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    clock: Clock,
    printed: Arc<Printed>,
}

#[derive(Debug, Default)]
struct Printed {
    lines: Mutex<Lines>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<(Time, String)>,
    /// Of its two streams.
    ended: u8,
}

impl Program {
    /// Starts it and keeps what it prints.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(mut command: Command) -> Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("can't run {command:?}"))?;
        let (clock, printed) = (Clock::start(), Arc::new(Printed::default()));
        let out = child.stdout.take().map(|out| Box::new(out) as Box<dyn Read + Send>);
        let error = child.stderr.take().map(|error| Box::new(error) as Box<dyn Read + Send>);
        for stream in [out, error].into_iter().flatten() {
            let printed = Arc::clone(&printed);
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    printed.add(clock.now().time, line);
                }
                printed.lock().ended += 1;
                printed.news.notify_all();
            });
        }
        Ok(Self { child, clock, printed })
    }

    /// The first line with this text in it, and when it came since the program was started.
    ///
    /// # Errors
    /// If it doesn't come in time, or the program ends; with all that came instead.
    pub fn line(&self, text: &str, within: Duration) -> Result<(Duration, String)> {
        let end = self.clock.now().time + within;
        let mut lines = self.printed.lock();
        loop {
            let found = lines.lines.iter().find(|(_, line)| line.contains(text));
            if let Some((at, line)) = found {
                return Ok((at.since_start(), line.clone()));
            }
            let left = end.since(self.clock.now().time);
            if left.is_zero() || lines.ended == 2 {
                bail!("no {text:?} within {within:?} in:\n{}", lines.text());
            }
            let waited = self.printed.news.wait_timeout(lines, left);
            (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `INT`.
    ///
    /// # Errors
    /// If it can't be sent.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status()?;
        ensure!(sent.success(), "can't send {name}");
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it doesn't end in time.
    pub fn end(&mut self, within: Duration) -> Result<ExitStatus> {
        let end = self.clock.now().time + within;
        while self.clock.now().time < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(GLANCE);
        }
        bail!("it didn't end within {within:?}; it printed:\n{}", self.output())
    }

    /// All that it has printed.
    #[must_use]
    pub fn output(&self) -> String {
        self.printed.lock().text()
    }

    /// All lines that it has printed so far, and when they came since it was started.
    #[must_use]
    pub fn lines(&self) -> Vec<(Duration, String)> {
        let printed = self.printed.lock();
        printed.lines.iter().map(|(at, line)| (at.since_start(), line.clone())).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Printed {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, at: Time, line: String) {
        let lines = &mut self.lock().lines;
        if lines.len() < LINES_MAX {
            lines.push((at, line));
        }
        self.news.notify_all();
    }
}

impl Lines {
    fn text(&self) -> String {
        self.lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n")
    }
}

impl World {
    /// Starts the server of rooms and relay, with more flags if there are any. It relays by IPv6
    /// too if there are hosts with IPv6 by now.
    ///
    /// # Errors
    /// If it doesn't start; with what it says.
    pub fn serve(&self, more: &[&str]) -> Result<Program> {
        let mut command = self.server().space().command(built("heliograph")?);
        command.args(["--http", &format!("[::]:{HTTP_PORT}"), "--turn", &format!("{SERVER}:3478")]);
        if self.has_ipv6() {
            command.args(["--turn", &format!("[{SERVER_V6}]:3478")]);
        }
        command.args(["--open", "--workers", "1", "--allow-peer", &PUBLIC.join(",")]).args(more);
        started(command)
    }

    /// Starts the server that probes ask.
    ///
    /// # Errors
    /// If it doesn't start; with what it says.
    pub fn serve_probes(&self) -> Result<Program> {
        let mut command = self.server().space().command(built("heliograph")?);
        command.args(["relay", "--workers", "1", "--turn-secret", "probes need none"]);
        for ip in [SERVER, SERVER_OTHER] {
            for port in PROBE_PORTS {
                command.args(["--turn", &format!("{ip}:{port}")]);
            }
        }
        started(command)
    }
}

impl Host {
    /// Where the world's server is for this host.
    #[must_use]
    pub fn server(&self) -> SocketAddr {
        let ip = if self.ip().is_ipv4() { SERVER.into() } else { SERVER_V6.into() };
        SocketAddr::new(ip, HTTP_PORT)
    }

    /// Starts the example `data_channel` here, in a room of the world's server.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn join(&self, name: &str, more: &[&str]) -> Result<Program> {
        let mut command = self.space().command(built("examples/data_channel")?);
        command.args(["--url", &format!("ws://{}", self.server()), "--name", name]).args(more);
        Program::start(command)
    }
}

impl Host {
    /// Opens our page in Chromium here, in a room of the world's server; by TLS on port 443 where
    /// there is IPv4.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn browse(&self, name: &str, room: &str) -> Result<Program> {
        let mut command = self.space().command("node");
        let page = match self.server().ip() {
            IpAddr::V4(ip) => format!("https://{ip}/"),
            IpAddr::V6(_) => format!("http://{}/", self.server()),
        };
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/browser.mjs")).args([&page, room, name]);
        Program::start(command)
    }
}

fn started(command: Command) -> Result<Program> {
    let program = Program::start(command)?;
    program.line("Ctrl-C", START_TIMEOUT)?;
    Ok(program)
}

/// A program of this repository: beside the one that runs, or in the folder that
/// `HELIOGRAPH_BUILT` names.
///
/// # Errors
/// If it isn't there; with how to build it.
pub fn built(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.ancestors().nth(2).context("programs are built into a folder")?;
    let folder = std::env::var_os("HELIOGRAPH_BUILT").map_or(beside.to_owned(), PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        let path = path.display();
        bail!("{path} isn't there: cargo build --bin heliograph --example data_channel");
    }
    Ok(path)
}
