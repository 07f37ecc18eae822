//! The end-to-end benchmark of a TURN server: what `docs/performance.md` is made with.
//!
//! Servers run as child processes on one CPU and are driven from this process on another. No claims
//! live here, only how to measure; which works there are is in [`scenario`].

mod binding;
mod cli;
mod forwarder;
mod link;
mod load;
mod measure;
mod pace;
mod packet;
mod report;
mod saturate;
mod scenario;
mod setup;
mod site;
mod subject;
mod sys;
mod traffic;
mod turn;

use bench_kit::{exit, list, print, there};
use clap::Parser as _;
use cli::{Cli, Command, Run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    exit(match cli.command {
        Some(Command::Forward { ip, merge }) => {
            forwarder::run(ip, merge, |address| print(&format!("{address}\n")))
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
