//! Keeps a world of NATs up, to run programs in it: our server on an internet of its own, and a
//! host behind each NAT that is named.
//!
//! ```text
//! cargo build
//! cargo run --example lab -- up symmetric port-restricted
//! ```
//!
//! It takes root, `ip` (iproute2) and `nft` (nftables). Ctrl-C removes all of it.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use anyhow::Result;
use clap::Parser;
use heliograph_lab::{Bandwidth, Host, Impairment, Kind, SERVER, World, built};
use std::thread;
use std::time::Duration;

/// How long a queue of a narrow line may get: what gets through in this time.
const QUEUE: Duration = Duration::from_millis(200);

/// A world of NATs to run programs in.
#[derive(Debug, Parser)]
enum Args {
    /// Makes the world and keeps it up.
    Up(Up),
    /// Says which kinds of NAT there are.
    Kinds,
}

#[derive(Debug, clap::Args)]
struct Up {
    /// What is between each host and the internet: see `kinds`.
    #[arg(required = true, value_name = "KIND")]
    kinds: Vec<Kind>,
    /// How long a packet takes from or to each host, in milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    delay_ms: u64,
    /// How much longer or shorter it may take.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    jitter_ms: u64,
    /// How many of a hundred packets are lost in each direction.
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    loss: f64,
    /// How much gets through in each direction; all if it isn't said.
    #[arg(long, value_name = "KBIT")]
    rate_kbit: Option<u64>,
}

fn main() -> Result<()> {
    match Args::parse() {
        Args::Up(up) => keep_up(&up),
        Args::Kinds => {
            for kind in Kind::ALL {
                println!("{kind:18} {}", kind.about());
            }
            Ok(())
        }
    }
}

fn keep_up(up: &Up) -> Result<()> {
    let mut world = World::new()?;
    let mut hosts = Vec::new();
    for (number, &kind) in up.kinds.iter().enumerate() {
        let (name, network) = (format!("peer{}", number + 1), world.behind(kind)?);
        let host = match up.impairment() {
            Some(worse) => world.far_host(&name, &network, kind.family(), worse)?,
            None => world.host(&name, &network, kind.family())?,
        };
        hosts.push((kind, host));
    }
    let _server = world.serve(&[])?;
    introduce(&hosts);
    loop {
        // The lab itself watches for the signals that end this.
        thread::park();
    }
}

fn introduce(hosts: &[(Kind, Host)]) {
    println!("Our server is at http://{SERVER}:8080/, its STUN and TURN at {SERVER}:3478.\n");
    for (kind, host) in hosts {
        println!("{kind} ({}), {}:", kind.about(), host.ip());
        println!("    ip netns exec {} bash", host.space().name());
    }
    let peer = built("examples/data_channel")
        .map_or_else(|error| format!("data_channel ({error})"), |path| path.display().to_string());
    println!("\nIn each of them run your program, or ours:");
    println!("    {peer} --url ws://{}", hosts[0].1.server());
    println!("\nCtrl-C removes all of it.");
}

impl Up {
    /// What is wrong with the lines, if anything.
    fn impairment(&self) -> Option<Impairment> {
        let bandwidth = self.rate_kbit.map(|kbit| {
            let bytes_per_s = kbit * 1000 / 8;
            let queue_bytes_max = bytes_per_s * QUEUE.as_millis() as u64 / 1000;
            Bandwidth { bytes_per_s, queue_bytes_max }
        });
        let impairment = Impairment {
            delay: Duration::from_millis(self.delay_ms),
            jitter: Duration::from_millis(self.jitter_ms),
            loss: self.loss / 100.0,
            bandwidth,
        };
        (impairment != Impairment::default()).then_some(impairment)
    }
}
