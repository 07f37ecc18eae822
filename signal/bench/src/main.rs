//! The load on a signaling server from outside: what `docs/performance-signal.md` is made with.
//!
//! Servers run as child processes on one CPU and are driven from this process on another. No claims
//! live here, only how to measure; which works there are is in [`scenario`].

mod broadcast;
mod cli;
mod crowd;
mod idle;
mod joins;
mod json;
mod naive;
mod pairs;
mod payload;
mod peer;
mod report;
mod scenario;
mod session;
mod stalled;
mod subject;
mod websocket;

use bench_kit::{exit, list, print, there};
use clap::Parser as _;
use cli::{Cli, Command, Run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    exit(match cli.command {
        Some(Command::Naive { small }) => {
            let setup = naive::Setup { is_small: small };
            naive::run(setup, |address| print(&format!("{address}\n")))
        }
        None => measure(&cli.run),
    })
}

fn measure(run: &Run) -> anyhow::Result<()> {
    if run.arguments.list {
        print(&list(&scenario::ALL));
        return Ok(());
    }
    let options = run.options()?;
    let subjects = there(&run.subjects, |kind| options.programs.missing(kind));
    let all = run
        .arguments
        .measure(&scenario::ALL, &subjects, |scenario, kind| scenario.run(kind, &options))?;
    print(&report::table(&all, run.arguments.markdown));
    Ok(())
}
