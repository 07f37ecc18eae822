//! The command line.

use crate::subject::{Kind, Programs};
use bench_kit::{Arguments, Plan};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Measures TURN servers beside a bare forwarder: what a packet costs them in CPU time, the server
/// on one CPU and the load on another.
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
    /// Run the bare forwarder, and print its address
    #[command(hide = true)]
    Forward {
        #[arg(long)]
        ip: Ipv4Addr,
        #[arg(long)]
        merge: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) arguments: Arguments,

    /// Which servers to measure
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "heliograph,coturn,forward,forward-gso"
    )]
    pub(crate) subjects: Vec<Kind>,

    /// The program to measure as coturn; left out if it isn't there
    #[arg(long, default_value = "turnserver", value_name = "FILE")]
    coturn: PathBuf,
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
        let Self { arguments, coturn, .. } = self;
        let (heliograph, external) = (arguments.heliograph()?, arguments.external);
        let programs = Programs { heliograph, coturn: coturn.clone(), external };
        Ok(Options { plan: arguments.plan(1)?, clients: arguments.clients, programs })
    }
}
