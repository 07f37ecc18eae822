//! Two programs that meet in a room.

use crate::grid::{Candidate, Meeting};
use crate::program::Program;
use crate::world::Host;
use anyhow::{Context as _, Result, ensure};
use std::time::Duration;

/// For so long two may try to connect, and then to exchange messages.
const PATIENCE: Duration = Duration::from_secs(20);

/// For so long a client may take to start and get into the room: browsers on a busy machine do.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// What is in the line of one who is connected.
const CONNECTED: &str = " connected: ";

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

/// Has two hosts meet and exchange messages. It took from the second one's seat in the room to its
/// open channels; the path is a Rust peer's first, and the one that a browser had at the end, for
/// browsers go on to look for a better one.
///
/// # Errors
/// If they don't connect, or hear nothing of each other; with what they said.
pub fn meet(room: &str, [first, second]: [(&Host, Client); 2]) -> Result<Meeting> {
    let mut ada = start(room, "ada", first)?;
    ada.line("in room", START_PATIENCE)?;
    let mut bob = start(room, "bob", second)?;
    let (joined, _) = bob.line("in room", START_PATIENCE)?;
    let (connected, _) = bob.line(CONNECTED, PATIENCE)?;
    ada.line(CONNECTED, PATIENCE)?;
    for (name, program) in [("ada", &mut ada), ("bob", &mut bob)] {
        ended_well(name, program)?;
    }
    let (ada, bob) = (ada.lines(), bob.lines());
    let (of_first, second_seen) = path(first.1, &ada)?;
    let (of_second, first_seen) = path(second.1, &bob)?;
    let ends = [reach(of_first, first_seen), reach(of_second, second_seen)];
    Ok(Meeting { ends, took: connected.saturating_sub(joined) })
}

/// By which candidates one was connected: a Rust peer first of all, a browser at the end.
fn path(client: Client, lines: &[(Duration, String)]) -> Result<(&str, &str)> {
    let said = lines.iter().filter(|(_, line)| line.contains(CONNECTED));
    let mut said = said.filter_map(|(_, line)| candidates(line));
    let path = match client {
        Client::Rust => said.next(),
        Client::Chromium => said.next_back(),
    };
    path.context("a path without candidates")
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

/// The types of a program's own candidate and of the other one's: it printed
/// `(srflx to prflx, udp)`, the page without the protocol.
fn candidates(line: &str) -> Option<(&str, &str)> {
    let (_, types) = line.rsplit_once('(')?;
    types.split([',', ')']).next()?.split_once(" to ")
}

/// By which address one is reached, by what its candidate is to itself and to the other one. That
/// it is a relay's may be known on one side only; what an address inside is called by itself
/// doesn't matter where a NAT translates it.
fn reach(own: &str, seen: &str) -> Candidate {
    if own == "relay" || seen == "relay" {
        Candidate::Relay
    } else if seen == "host" {
        Candidate::Host
    } else {
        Candidate::Reflexive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_rust_peer_the_first_path_counts_and_of_a_browser_the_last() {
        let said = [
            "in room",
            "bob connected: relayed (srflx to relay)",
            "bob connected: direct (srflx to prflx)",
            "bob (7x) not connected: it has left",
        ];
        let lines = said.map(|line| (Duration::ZERO, line.to_owned()));
        assert_eq!(path(Client::Chromium, &lines).unwrap(), ("srflx", "prflx"));
        assert_eq!(path(Client::Rust, &lines).unwrap(), ("srflx", "relay"));
        assert!(path(Client::Rust, &lines[..1]).is_err());
    }

    #[test]
    fn who_is_reached_by_which_address_both_have_to_say() {
        for end in [", udp)", ")"] {
            let line = format!("ada (7x) connected: relayed (host to relay{end}");
            assert_eq!(candidates(&line).unwrap(), ("host", "relay"));
        }
        assert_eq!(candidates("connected"), None);
        assert_eq!(reach("host", "srflx"), Candidate::Reflexive);
        assert_eq!(reach("host", "prflx"), Candidate::Reflexive);
        assert_eq!(reach("host", "host"), Candidate::Host);
        assert_eq!(reach("relay", "prflx"), Candidate::Relay);
        assert_eq!(reach("host", "relay"), Candidate::Relay);
    }
}
