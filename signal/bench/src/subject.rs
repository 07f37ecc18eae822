//! The servers that are measured, each as a child process with one CPU.

use crate::crowd::Language;
use anyhow::Context as _;
use bench_kit::{External, Output, Process, forget_settings};
use std::fmt;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Ours.
    Heliograph,
    /// Ours, with signals that have no ids, which it needn't acknowledge.
    HeliographNoIds,
    /// What people write by hand with axum.
    Naive,
    /// The same with small buffers and TCP_NODELAY.
    NaiveSmall,
    /// A heliograph that runs already: see --external.
    External,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Heliograph => "heliograph",
            Self::HeliographNoIds => "heliograph-no-ids",
            Self::Naive => "naive",
            Self::NaiveSmall => "naive-small",
            Self::External => "external",
        }
    }

    /// Whether it promises to end clients that don't read.
    pub(crate) fn ends_the_stalled(self) -> bool {
        match self {
            Self::Heliograph | Self::HeliographNoIds | Self::External => true,
            Self::Naive | Self::NaiveSmall => false,
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
    /// A heliograph that runs already, by its HTTP address.
    pub(crate) external: Option<External>,
}

impl Programs {
    /// Why a subject can't be measured here, if it can't.
    pub(crate) fn missing(&self, kind: Kind) -> Option<String> {
        match kind {
            Kind::Heliograph | Kind::HeliographNoIds => {
                let mut probe = Command::new(&self.heliograph);
                probe.arg("--version").stdin(Stdio::null()).stdout(Stdio::null());
                let error = probe.status().err()?;
                Some(format!("{kind} is left out: {}: {error}", self.heliograph.display()))
            }
            Kind::External if self.external.is_none() => {
                Some("external is left out: no --external".to_owned())
            }
            Kind::External | Kind::Naive | Kind::NaiveSmall => None,
        }
    }
}

/// A running server; killed when dropped.
pub(crate) struct Subject {
    pub(crate) language: Language,
    /// Where it listens.
    pub(crate) address: SocketAddrV4,
    process: Process,
    /// Kept open, so that the server may go on to print.
    _output: Option<Output>,
}

impl Subject {
    /// Starts a server on a free port, and waits until it listens.
    pub(crate) fn start(kind: Kind, programs: &Programs) -> anyhow::Result<Self> {
        let started = match kind {
            Kind::Heliograph => heliograph(&programs.heliograph, true),
            Kind::HeliographNoIds => heliograph(&programs.heliograph, false),
            Kind::Naive => naive(&[]),
            Kind::NaiveSmall => naive(&["--small"]),
            Kind::External => external(programs.external),
        };
        started.with_context(|| format!("{kind} doesn't start"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

fn heliograph(program: &Path, ids: bool) -> anyhow::Result<Subject> {
    let mut command = Command::new(program);
    command.args(["signal", "--http", "127.0.0.1:0", "--log", "error"]);
    // All clients come from one machine, at once, and say as much as goes.
    for limit in ["--address-connections", "--address-joins", "--joins", "--client-frames"] {
        command.args([limit, "0"]);
    }
    forget_settings(&mut command);
    let (process, mut output) = Process::start(command)?;
    let mut address = None;
    loop {
        let line = output.next_line()?;
        let value = line.split_whitespace().nth(1).unwrap_or_default();
        let url = value.strip_prefix("ws://").and_then(|rest| rest.strip_suffix("/v1/ws"));
        if let Some(url) = url {
            address = Some(url.parse()?);
        }
        if line.contains("Ctrl-C") {
            let (address, _output) = (address.context("it says no address")?, Some(output));
            let language = Language::Heliograph { ids };
            return Ok(Subject { language, address, process, _output });
        }
    }
}

fn naive(more: &[&str]) -> anyhow::Result<Subject> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("naive").args(more);
    let (process, mut output) = Process::start(command)?;
    let address = output.next_line()?.trim().parse()?;
    Ok(Subject { language: Language::Plain, address, process, _output: Some(output) })
}

fn external(server: Option<External>) -> anyhow::Result<Subject> {
    let External { address, pid } = server.context("no --external")?;
    let (language, process) = (Language::Heliograph { ids: true }, Process::External(pid));
    Ok(Subject { language, address, process, _output: None })
}
