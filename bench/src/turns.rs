//! Subjects put to works in turns.

use crate::{Arguments, OWN_CPU, Sample, Series, go_first, pin, raise_open_files};
use anyhow::{Context as _, bail};
use std::fmt::Display;
use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;

/// A work that servers are put to.
pub trait Scenario: Copy {
    /// Which server.
    type Kind: Copy + Display + PartialEq;
    /// What comes of it.
    type Sample: Sample;

    /// Its name.
    fn name(&self) -> &'static str;

    /// Whether it is for such a server.
    fn suits(&self, kind: Self::Kind) -> bool;
}

/// All rounds of all subjects in all scenarios.
pub type AllSeries<S> = Vec<Series<<S as Scenario>::Kind, <S as Scenario>::Sample>>;

impl Arguments {
    /// Puts the subjects to those of the works that were asked for, each by `run`.
    ///
    /// # Errors
    /// What was asked for isn't there, or the machine doesn't let us; not what goes wrong in a run.
    pub fn measure<S: Scenario>(
        &self,
        works: &[S],
        subjects: &[S::Kind],
        mut run: impl FnMut(&S, S::Kind) -> anyhow::Result<S::Sample>,
    ) -> anyhow::Result<AllSeries<S>> {
        let scenarios = self.chosen(works)?;
        raise_open_files()?;
        pin(OWN_CPU).context("two CPUs are needed: one for servers, one for the load")?;
        if self.realtime {
            go_first().context("--realtime")?;
        }
        let mut csv = self.csv.as_ref().map(File::create).transpose().context("--csv")?;
        if let Some(csv) = &mut csv {
            writeln!(csv, "scenario,subject,round,{}", S::Sample::CSV_COLUMNS)?;
        }
        let mut all = Vec::new();
        for scenario in &scenarios {
            let mut put = |kind| run(scenario, kind);
            all.extend(rounds(scenario, subjects, self.rounds, &mut put, csv.as_mut())?);
        }
        Ok(all)
    }

    fn chosen<S: Scenario>(&self, works: &[S]) -> anyhow::Result<Vec<S>> {
        if self.scenarios.is_empty() {
            return Ok(works.to_vec());
        }
        let mut chosen = Vec::new();
        for text in &self.scenarios {
            let exact = |one: &&S| one.name() == text;
            let begins = |one: &&S| one.name().starts_with(text.as_str());
            let mut found: Vec<_> = works.iter().filter(exact).copied().collect();
            if found.is_empty() {
                found.extend(works.iter().filter(begins));
            }
            if found.is_empty() {
                bail!("no scenario is called {text}; --list shows them");
            }
            chosen.extend(found);
        }
        Ok(chosen)
    }
}

fn rounds<S: Scenario>(
    scenario: &S,
    subjects: &[S::Kind],
    rounds: usize,
    put: &mut dyn FnMut(S::Kind) -> anyhow::Result<S::Sample>,
    mut csv: Option<&mut File>,
) -> anyhow::Result<AllSeries<S>> {
    let name = scenario.name();
    let suited = subjects.iter().filter(|kind| scenario.suits(**kind));
    let series = |kind: &S::Kind| Series { scenario: name, kind: *kind, samples: Vec::new() };
    let mut all: Vec<_> = suited.map(series).collect();
    for round in 0..rounds {
        for series in &mut all {
            let kind = series.kind;
            let sample = put(kind);
            match &sample {
                Ok(sample) => {
                    let text = series.csv(round, sample);
                    note(text.trim_end());
                    if let Some(csv) = &mut csv {
                        csv.write_all(text.as_bytes())?;
                    }
                }
                Err(error) => note(&format!("{name} of {kind}, round {round}: {error:#}")),
            }
            series.samples.push(sample.ok());
        }
    }
    Ok(all)
}

/// The subjects that are there; notes why the others, for which `missing` has a word, are not.
pub fn there<K: Copy>(subjects: &[K], missing: impl Fn(K) -> Option<String>) -> Vec<K> {
    let is_there = |kind: &K| match missing(*kind) {
        None => true,
        Some(why) => {
            note(&why);
            false
        }
    };
    subjects.iter().copied().filter(is_there).collect()
}

/// The names of all works, one a line.
#[must_use]
pub fn list<S: Scenario>(works: &[S]) -> String {
    works.iter().map(|work| format!("{}\n", work.name())).collect()
}

/// What the program ends with; says what went wrong.
#[must_use]
pub fn exit(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints to standard output. A closed pipe is no error: nobody reads it.
pub fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a line to standard error.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
