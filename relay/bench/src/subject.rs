//! The servers that are measured, each as a child process with one CPU.

use crate::link::{self, Transport};
use crate::site::Site;
use crate::sys;
use crate::turn::{Language, PASSWORD, REALM, USER, binding_request};
use anyhow::{Context as _, bail, ensure};
use bench_kit::{External, Output, Process, SERVER_CPU, confine, forget_settings};
use rustls::ClientConfig;
use std::fmt;
use std::fs::File;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Ours.
    Heliograph,
    /// Debian's, one relay thread, all that isn't needed off.
    Coturn,
    /// Two sockets and no TURN: what the kernel takes.
    Forward,
    /// The same with trains of datagrams in one piece.
    ForwardGso,
    /// One that runs already: see --external.
    External,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Heliograph => "heliograph",
            Self::Coturn => "coturn",
            Self::Forward => "forward",
            Self::ForwardGso => "forward-gso",
            Self::External => "external",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) heliograph: PathBuf,
    pub(crate) coturn: PathBuf,
    /// A server that runs already; its user is bench, its password wheat-from-chaff.
    pub(crate) external: Option<External>,
}

impl Programs {
    /// Why a subject can't be measured here, if it can't.
    pub(crate) fn missing(&self, kind: Kind) -> Option<String> {
        let program = match kind {
            Kind::Heliograph => &self.heliograph,
            Kind::Coturn => &self.coturn,
            Kind::Forward | Kind::ForwardGso => return None,
            Kind::External if self.external.is_some() => return None,
            Kind::External => return Some("external is left out: no --external".to_owned()),
        };
        let mut probe = Command::new(program);
        probe.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let error = probe.status().err()?;
        Some(format!("{kind} is left out: {}: {error}", program.display()))
    }
}

/// A running server; killed when dropped.
pub(crate) struct Subject {
    pub(crate) language: Language,
    pub(crate) transport: Transport,
    /// Where it listens.
    pub(crate) address: SocketAddrV4,
    process: Process,
    tls: Option<Tls>,
    /// Kept open, so that the server may go on to print.
    _output: Option<Output>,
}

/// A certificate for one run, in files that go away with it.
struct Tls {
    config: Arc<ClientConfig>,
    cert: File,
    key: File,
}

/// How long a server may take to start: 5 s.
const START_TRIES: usize = 100;
const START_TRY: Duration = Duration::from_millis(50);

impl Subject {
    /// Starts a server that listens on a free port at its end of the site, and waits until it does.
    pub(crate) fn start(
        kind: Kind,
        programs: &Programs,
        site: &Site,
        transport: Transport,
    ) -> anyhow::Result<Self> {
        let started = match kind {
            Kind::Heliograph => heliograph(&programs.heliograph, site, transport),
            Kind::Coturn => coturn(&programs.coturn, site, transport),
            Kind::Forward => forwarder(site, &[]),
            Kind::ForwardGso => forwarder(site, &["--merge"]),
            Kind::External => external(programs.external),
        };
        started.with_context(|| format!("{kind} doesn't start"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What its clients by TLS need.
    pub(crate) fn tls(&self) -> Option<&Arc<ClientConfig>> {
        self.tls.as_ref().map(|tls| &tls.config)
    }
}

impl Tls {
    fn new() -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let config = Arc::new(link::tls_config(made.cert.der())?);
        let cert = sys::memory_file(made.cert.pem().as_bytes())?;
        let key = sys::memory_file(made.signing_key.serialize_pem().as_bytes())?;
        Ok(Self { config, cert, key })
    }

    /// The paths of certificate and key.
    fn paths(&self) -> [String; 2] {
        [&self.cert, &self.key]
            .map(|file| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
    }
}

fn heliograph(program: &Path, site: &Site, transport: Transport) -> anyhow::Result<Subject> {
    let mut command = Command::new(program);
    command.args(["relay", "--workers", "1", "--log", "error", "--realm", REALM]);
    command.args(["--user", &format!("{USER}:{PASSWORD}"), "--allow-peer", site.network]);
    command.args(["--unauthenticated-rate", "0", "--turn", &format!("{}:0", site.server)]);
    let tls = (transport == Transport::Tls).then(Tls::new).transpose()?;
    let (label, end) = match transport {
        Transport::Udp => ("turn:", "?transport=udp"),
        Transport::Tcp => ("turn:", "?transport=tcp"),
        Transport::Tls => ("turns:", "?transport=tcp"),
    };
    match (transport, &tls) {
        (Transport::Tls, Some(tls)) => {
            command.args(["--turn-tls", &format!("{}:0", site.server)]);
            let [cert, key] = tls.paths();
            command.args(["--tls-cert", &cert, "--tls-key", &key]);
        }
        (Transport::Tcp, _) => {
            command.args(["--turn-tcp", &format!("{}:0", site.server)]);
        }
        (Transport::Udp | Transport::Tls, _) => {}
    }
    forget_settings(&mut command);
    site.place(&mut command);
    let (process, mut output) = Process::start(command)?;
    let mut subject = Subject {
        language: Language::Turn,
        transport,
        address: SocketAddrV4::new(site.server, 0),
        process,
        tls,
        _output: None,
    };
    loop {
        let line = output.next_line()?;
        let value = line.split_whitespace().nth(1).unwrap_or_default();
        let address = value.strip_prefix(label).and_then(|value| value.strip_suffix(end));
        if let Some(address) = address {
            subject.address = address.parse()?;
        }
        if line.contains("Ctrl-C") {
            ensure!(subject.address.port() != 0, "it says no address");
            subject._output = Some(output);
            return Ok(subject);
        }
    }
}

/// The leanest configuration that does the same work.
const COTURN: &str = "-n --no-cli --no-dtls --no-tcp-relay --lt-cred-mech --allow-loopback-peers \
    --relay-threads 1 --no-software-attribute --no-rfc5780 --no-stun-backward-compatibility \
    --response-origin-only-with-rfc5780 --no-dynamic-ip-list --no-dynamic-realms --no-auth-pings \
    --log-file /dev/null --simple-log --no-stdout-log --pidfile /dev/null \
    --min-port 20000 --max-port 32000";

fn coturn(program: &Path, site: &Site, transport: Transport) -> anyhow::Result<Subject> {
    // Free here, and so at the other end of a cable.
    let port = || Ok::<_, std::io::Error>(UdpSocket::bind((site.own, 0))?.local_addr()?.port());
    let [plain, secure] = [port()?, port()?].map(|port| SocketAddrV4::new(site.server, port));
    let ip = site.server.to_string();
    let mut command = Command::new(program);
    command.args(COTURN.split_whitespace()).args(["--realm", REALM]);
    command.args(["--listening-ip", &ip, "--relay-ip", &ip]);
    command.args(["--listening-port", &plain.port().to_string()]);
    command.args(["--user", &format!("{USER}:{PASSWORD}")]);
    let tls = (transport == Transport::Tls).then(Tls::new).transpose()?;
    match &tls {
        Some(tls) => {
            command.args(["--tls-listening-port", &secure.port().to_string()]);
            let [cert, key] = tls.paths();
            command.args(["--cert", &cert, "--pkey", &key]);
        }
        None if transport == Transport::Tcp => drop(command.arg("--no-tls")),
        None => drop(command.args(["--no-tls", "--no-tcp"])),
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    confine(&mut command, SERVER_CPU);
    site.place(&mut command);
    let address = if tls.is_some() { secure } else { plain };
    let (language, process) = (Language::Turn, Process::Ours(command.spawn()?));
    wait_until_it_answers(site, plain)?;
    Ok(Subject { language, transport, address, process, tls, _output: None })
}

fn wait_until_it_answers(site: &Site, server: SocketAddrV4) -> anyhow::Result<()> {
    let probe = UdpSocket::bind((site.own, 0))?;
    probe.connect(server)?;
    probe.set_read_timeout(Some(START_TRY))?;
    for _ in 0..START_TRIES {
        // Before the server listens, either says that nobody does.
        let _ = probe.send(&binding_request(*b"are you here"));
        if probe.recv(&mut [0; 512]).is_ok() {
            return Ok(());
        }
        std::thread::sleep(START_TRY);
    }
    bail!("it doesn't answer")
}

fn forwarder(site: &Site, more: &[&str]) -> anyhow::Result<Subject> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["forward", "--ip", &site.server.to_string()]).args(more);
    site.place(&mut command);
    let (process, mut output) = Process::start(command)?;
    let (language, transport) = (Language::Bare, Transport::Udp);
    let address = output.next_line()?.trim().parse()?;
    Ok(Subject { language, transport, address, process, tls: None, _output: Some(output) })
}

fn external(server: Option<External>) -> anyhow::Result<Subject> {
    let External { address, pid } = server.context("no --external")?;
    let (language, transport, process) = (Language::Turn, Transport::Udp, Process::External(pid));
    Ok(Subject { language, transport, address, process, tls: None, _output: None })
}
