//! The command line, as far as it is the same for both.

use crate::External;
use anyhow::bail;
use std::path::PathBuf;
use std::time::Duration;

/// What and how to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// What to run, by name or by its beginning [default: all]
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<String>,

    /// List the scenarios and exit
    #[arg(long)]
    pub list: bool,

    /// How often each is measured; subjects take turns
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub rounds: usize,

    /// For how long each time, where the scenario doesn't end by itself
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    seconds: f64,

    /// For how long before that, unmeasured
    #[arg(long, default_value_t = 0.5, value_name = "SECONDS")]
    warm_up: f64,

    /// So many clients instead of what the scenario says
    #[arg(long, value_name = "N")]
    pub clients: Option<usize>,

    /// The program to measure as heliograph [default: beside this one]
    #[arg(long, value_name = "FILE")]
    heliograph: Option<PathBuf>,

    /// Measure a server of this machine that runs already, by its address and process id, as the
    /// subject `external`
    #[arg(long, value_name = "ADDR,PID")]
    pub external: Option<External>,

    /// Run servers and load before all else on their CPUs (SCHED_FIFO, for root): for a machine
    /// that has other things to do, which meanwhile wait
    #[arg(long)]
    pub realtime: bool,

    /// Print the tables in Markdown
    #[arg(long)]
    pub markdown: bool,

    /// Write each single run to a file
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

/// How long a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Before anything is measured.
    pub warm_up: Duration,
    /// After that.
    pub measured: Duration,
}

impl Arguments {
    /// How long a run takes.
    ///
    /// # Errors
    /// If there is nothing to measure, or there are fewer clients than `clients_min`.
    pub fn plan(&self, clients_min: usize) -> anyhow::Result<Plan> {
        let seconds = |value: f64| Duration::try_from_secs_f64(value);
        let plan = Plan { warm_up: seconds(self.warm_up)?, measured: seconds(self.seconds)? };
        if self.rounds == 0 || plan.measured.is_zero() {
            bail!("--rounds and --seconds must be above 0");
        }
        if self.clients.is_some_and(|clients| clients < clients_min) {
            bail!("--clients must be at least {clients_min}");
        }
        Ok(plan)
    }

    /// The program to measure as heliograph.
    ///
    /// # Errors
    /// If nobody knows where this program is.
    pub fn heliograph(&self) -> anyhow::Result<PathBuf> {
        match &self.heliograph {
            Some(program) => Ok(program.clone()),
            None => Ok(std::env::current_exe()?.with_file_name("heliograph")),
        }
    }
}
