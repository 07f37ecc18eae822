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

use anyhow::Context as _;
use clap::Parser as _;
use cli::{Cli, Command, Options, Run};
use report::Series;
use scenario::Scenario;
use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use subject::Kind;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Forward { ip, merge }) => {
            forwarder::run(ip, merge, |address| print(&format!("{address}\n")))
        }
        None => measure(&cli.run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(run: &Run) -> anyhow::Result<()> {
    if run.list {
        let names = scenario::ALL.iter().map(|scenario| format!("{}\n", scenario.name));
        print(&names.collect::<String>());
        return Ok(());
    }
    let (options, scenarios) = (run.options()?, run.scenarios()?);
    let (subjects, notes) = run.subjects(&options.programs);
    notes.iter().for_each(|text| note(text));
    bench_kit::raise_open_files()?;
    bench_kit::pin(subject::OWN_CPU)
        .context("two CPUs are needed: one for servers, one for the load")?;
    if run.realtime {
        bench_kit::go_first().context("--realtime")?;
    }
    let mut csv = run.csv.as_ref().map(File::create).transpose().context("--csv")?;
    if let Some(csv) = &mut csv {
        csv.write_all(report::CSV_HEADER.as_bytes())?;
    }
    let mut all = Vec::new();
    for scenario in &scenarios {
        all.extend(rounds(scenario, &subjects, run.rounds, &options, csv.as_mut())?);
    }
    print(&report::table(&all, run.markdown));
    Ok(())
}

/// Puts the subjects to one work in turns.
fn rounds(
    scenario: &Scenario,
    subjects: &[Kind],
    rounds: usize,
    options: &Options,
    mut csv: Option<&mut File>,
) -> anyhow::Result<Vec<Series>> {
    let series = |kind| Series { scenario: scenario.name, kind, samples: Vec::new() };
    let suited = subjects.iter().filter(|kind| scenario.suits(**kind));
    let mut all: Vec<_> = suited.map(|kind| series(*kind)).collect();
    for round in 0..rounds {
        for series in &mut all {
            let kind = series.kind;
            let sample = match scenario.run(kind, options) {
                Ok(sample) => Some(sample),
                Err(error) => {
                    note(&format!("{} of {kind}, round {round}: {error:#}", scenario.name));
                    None
                }
            };
            if let Some(sample) = &sample {
                let text = report::csv(scenario.name, kind, round, sample);
                note(text.trim_end());
                if let Some(csv) = &mut csv {
                    csv.write_all(text.as_bytes())?;
                }
            }
            series.samples.push(sample);
        }
    }
    Ok(all)
}

/// A closed pipe is no error: nobody reads it.
fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
