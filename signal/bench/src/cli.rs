//! The command line.

use crate::subject::{Kind, Programs};
use bench_kit::{Arguments, Plan};

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
    #[command(flatten)]
    pub(crate) arguments: Arguments,

    /// Which servers to measure
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "heliograph,heliograph-no-ids,naive,naive-small"
    )]
    pub(crate) subjects: Vec<Kind>,
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
        let arguments = &self.arguments;
        let (heliograph, external) = (arguments.heliograph()?, arguments.external);
        let programs = Programs { heliograph, external };
        Ok(Options { plan: arguments.plan(2)?, clients: arguments.clients, programs })
    }
}
