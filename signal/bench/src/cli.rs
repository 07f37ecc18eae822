//! The command line.

use crate::scenario::{self, Plan, Scenario};
use crate::subject::{Kind, Programs};
use anyhow::bail;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Measures signaling servers beside a relay as people write it by hand: what they cost in CPU time
/// and memory, the server on one CPU and the load on another.
#[derive(Debug, clap::Parser)]
#[command(version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) run: Run,
}

/// What else the program is, for its own use.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run the naive relay, and print its address
    #[command(hide = true)]
    Naive {
        #[arg(long)]
        small: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// What to run, by name or by its beginning (`pairs` is all of them) [default: all]
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,

    /// List the scenarios and exit
    #[arg(long)]
    pub(crate) list: bool,

    /// Which servers to measure
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "heliograph,heliograph-no-ids,naive,naive-small"
    )]
    subjects: Vec<Kind>,

    /// How often each is measured; subjects take turns
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) rounds: usize,

    /// For how long each time, where the scenario doesn't end by itself
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    seconds: f64,

    /// For how long before that, unmeasured
    #[arg(long, default_value_t = 0.5, value_name = "SECONDS")]
    warm_up: f64,

    /// So many clients instead of what the scenario says
    #[arg(long, value_name = "N")]
    clients: Option<usize>,

    /// The program to measure as heliograph [default: beside this one]
    #[arg(long, value_name = "FILE")]
    heliograph: Option<PathBuf>,

    /// Measure a heliograph of this machine that runs already, by its HTTP address and process id,
    /// as the subject `external`
    #[arg(long, value_name = "ADDR,PID")]
    external: Option<External>,

    /// Run servers and load before all else on their CPUs (SCHED_FIFO, for root): for a machine
    /// that has other things to do, which meanwhile wait
    #[arg(long)]
    pub(crate) realtime: bool,

    /// Print the table in Markdown
    #[arg(long)]
    pub(crate) markdown: bool,

    /// Write each single run to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug)]
struct External {
    address: SocketAddrV4,
    pid: u32,
}

impl FromStr for External {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(',');
        let parsed = parts.and_then(|(address, pid)| {
            Some(Self { address: address.parse().ok()?, pid: pid.parse().ok()? })
        });
        parsed.ok_or_else(|| "such as 127.0.0.1:8080,1234".to_owned())
    }
}

/// What holds for all runs.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) plan: Plan,
    pub(crate) clients: Option<usize>,
    pub(crate) programs: Programs,
}

impl Run {
    pub(crate) fn options(&self) -> anyhow::Result<Options> {
        let seconds = |value: f64| Duration::try_from_secs_f64(value);
        let plan = Plan { warm_up: seconds(self.warm_up)?, measured: seconds(self.seconds)? };
        if self.rounds == 0 || plan.measured.is_zero() || self.clients.is_some_and(|n| n < 2) {
            bail!("--rounds and --seconds must be above 0, and --clients above 1");
        }
        let beside =
            || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("heliograph"));
        let heliograph = self.heliograph.clone().map_or_else(beside, Ok)?;
        let external = self.external.map(|external| (external.address, external.pid));
        let programs = Programs { heliograph, external };
        Ok(Options { plan, clients: self.clients, programs })
    }

    /// The subjects that are there, and why the others are not.
    pub(crate) fn subjects(&self, programs: &Programs) -> (Vec<Kind>, Vec<String>) {
        let notes: Vec<_> = self.subjects.iter().map(|kind| programs.missing(*kind)).collect();
        let is_there = |(kind, note): (&Kind, &Option<String>)| note.is_none().then_some(*kind);
        let there = self.subjects.iter().zip(&notes).filter_map(is_there).collect();
        (there, notes.into_iter().flatten().collect())
    }

    pub(crate) fn scenarios(&self) -> anyhow::Result<Vec<Scenario>> {
        if self.scenarios.is_empty() {
            return Ok(scenario::ALL.to_vec());
        }
        let mut chosen = Vec::new();
        for text in &self.scenarios {
            let exact = |one: &&Scenario| one.name == text;
            let begins = |one: &&Scenario| one.name.starts_with(text.as_str());
            let mut found: Vec<_> = scenario::ALL.iter().filter(exact).copied().collect();
            if found.is_empty() {
                found.extend(scenario::ALL.iter().filter(begins));
            }
            if found.is_empty() {
                bail!("no scenario is called {text}; --list shows them");
            }
            chosen.extend(found);
        }
        Ok(chosen)
    }
}
