//! Two programs that meet in a room.

use crate::program::Program;
use crate::world::Host;
use anyhow::{Context as _, Result, ensure};
use std::fmt;
use std::time::Duration;

/// For so long two may try to connect, and then to exchange messages.
const PATIENCE: Duration = Duration::from_secs(20);

/// For so long a client may take to start and get into the room: browsers on a busy machine do.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Lossy messages that each gets from the other.
const MESSAGES: &str = "30";

/// What somebody meets others with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    /// The example `data_channel`.
    Rust,
    /// Our page in Chromium, by `tests/lab/browser.mjs`, which prints what the example does.
    Chromium,
}

/// How two peers were connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Whether a relay is between them.
    pub is_relayed: bool,
    /// The types of the two candidates, as the one sees it who came second: `srflx to prflx`.
    pub candidates: String,
    /// From the second one's seat in the room to its open channels.
    pub took: Duration,
}

/// Has two hosts meet and exchange messages.
///
/// # Errors
/// If they don't connect, or hear nothing of each other; with what they said.
pub fn meet(room: &str, [first, second]: [(&Host, Client); 2]) -> Result<Meeting> {
    let mut ada = start(room, "ada", first)?;
    ada.line("in room", START_PATIENCE)?;
    let mut bob = start(room, "bob", second)?;
    let (joined, _) = bob.line("in room", START_PATIENCE)?;
    let (connected, line) = bob.line(" connected: ", PATIENCE)?;
    let (_, other_line) = ada.line(" connected: ", PATIENCE)?;
    for (name, program) in [("ada", &mut ada), ("bob", &mut bob)] {
        ended_well(name, program)?;
    }
    let (_, candidates) = line.rsplit_once('(').context("a path without candidates")?;
    Ok(Meeting {
        // A candidate may be known to be a relay's on one side only.
        is_relayed: [&line, &other_line].iter().any(|line| line.contains(" relayed ")),
        candidates: candidates.trim_end_matches(')').to_owned(),
        took: connected.saturating_sub(joined),
    })
}

fn start(room: &str, name: &str, (host, client): (&Host, Client)) -> Result<Program> {
    match client {
        Client::Rust => {
            host.join(name, &["--room", room, "--messages", MESSAGES, "--timeout", "40"])
        }
        Client::Chromium => host.browse(name, room),
    }
}

fn ended_well(name: &str, program: &mut Program) -> Result<()> {
    let status = program.end(PATIENCE)?;
    ensure!(status.success(), "{name} failed; it printed:\n{}", program.output());
    Ok(())
}

impl fmt::Display for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.is_relayed { "relayed" } else { "direct" };
        write!(f, "{how} ({}), {:.1} s", self.candidates, self.took.as_secs_f64())
    }
}
