//! The network side of a small game: every player tells the others 60 times a second where it is,
//! and draws each of them where it was last heard from.
//!
//! ```text
//! cargo run --example game -- --room arena --name ada
//! ```
//!
//! The state goes over a lossy channel of its own. What comes late or not at all is not missed: the
//! latest state wins. The loop never waits for the network; it takes what there is and goes on.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use clap::Parser;
use heliograph_client::{
    Channel, ChannelOptions, Event, Messages, Options, Peer, Room, SendError, join,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the game moves, and says so.
const FRAME: Duration = Duration::from_micros(16_667);

/// How often the figures are printed, in frames.
const REPORT: u64 = 120;

/// Frames that one turn of a player takes.
const TURN: u64 = 240;

/// For how many frames it goes on when it has heard enough, so that others hear enough as well.
const ENCORE: u64 = 60;

/// How many of those that left are remembered.
const LEFT_MAX: usize = 16;

/// The weight of the newest round trip in the average.
const NEWEST: f64 = 0.1;

/// Plays until it is stopped.
#[derive(Debug, Parser)]
struct Args {
    /// The room to play in.
    #[arg(long, default_value = "arena")]
    room: String,
    /// The server: its page or its WebSocket.
    #[arg(long, default_value = "ws://127.0.0.1:8080")]
    url: String,
    /// How others see this player.
    #[arg(long, default_value = "rust")]
    name: String,
    /// Goes through the relay even where a direct path would work.
    #[arg(long)]
    relay_only: bool,
    /// Ends when so many other players were each heard for --frames.
    #[arg(long, value_name = "N")]
    players: Option<usize>,
    /// With --players: for how many frames.
    #[arg(long, value_name = "N", default_value_t = 300)]
    frames: u64,
    /// With --players: seconds until it fails with exit code 1.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

/// What a player tells another in each frame.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// Counts the frames.
    n: u64,
    x: f64,
    y: f64,
    /// The sender's clock, in milliseconds.
    t: f64,
    /// The receiver's clock as it was heard last, and for how many milliseconds since: so that the
    /// receiver knows the round trip.
    echo: Option<(f64, f64)>,
}

/// Another player, as it is drawn.
struct Player {
    peer: Peer,
    channel: Channel,
    messages: Messages,
    place: (f64, f64),
    /// The number of its latest state, and how many came.
    latest: Option<u64>,
    first: u64,
    received: u64,
    /// States that came behind a later one.
    late: u64,
    /// What it said of its clock, and when.
    clock: Option<(f64, Instant)>,
    round_trip_ms: Option<f64>,
}

struct Game {
    players: Vec<Player>,
    /// Those that left last.
    left: VecDeque<Player>,
    started: Instant,
    frame: u64,
    phase: f64,
    /// States that weren't sent, since too much waited.
    skipped: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let metadata = json!({ "name": args.name });
    let options = Options { metadata, relay_only: args.relay_only, ..Options::default() };
    let mut room = join(&args.url, &args.room, options).await?;
    println!("in room {} as {} ({})", room.id(), args.name, room.peer_id());
    let mut game = Game::new(room.peer_id().as_str());
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut stopped = pin!(tokio::signal::ctrl_c());
    let mut end = None;
    let reached = loop {
        tokio::select! {
            _ = frames.tick() => {}
            _ = &mut stopped => break true,
        }
        game.frame(&mut room);
        if end.is_none() && args.players.is_some_and(|it| game.has_heard(it, args.frames)) {
            end = Some(game.frame + ENCORE);
        }
        if end.is_some_and(|end| game.frame >= end) {
            break true;
        }
        if args.players.is_some() && game.started.elapsed() > Duration::from_secs(args.timeout) {
            break false;
        }
    };
    game.report();
    room.close().await;
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Game {
    fn new(id: &str) -> Self {
        let sum: u64 = id.bytes().map(u64::from).sum();
        let phase = (sum % 16) as f64 / 16.0;
        Self {
            players: Vec::new(),
            left: VecDeque::new(),
            started: Instant::now(),
            frame: 0,
            phase,
            skipped: 0,
        }
    }

    /// One turn of the loop: takes what has come, moves, and says where it is.
    fn frame(&mut self, room: &mut Room) {
        while let Some(event) = room.try_next() {
            self.handle(event);
        }
        let now = self.clock_ms();
        for player in &mut self.players {
            while let Some(data) = player.messages.try_recv() {
                if let Ok(state) = serde_json::from_slice(data.as_bytes()) {
                    player.take(&state, now);
                }
            }
        }
        self.frame += 1;
        let angle = TAU * (self.phase + (self.frame % TURN) as f64 / TURN as f64);
        let (x, y) = (0.5 + 0.3 * angle.cos(), 0.5 + 0.3 * angle.sin());
        for player in &self.players {
            let since = |at: Instant| at.elapsed().as_secs_f64() * 1e3;
            let echo = player.clock.map(|(clock, at)| (clock, since(at)));
            let state = State { n: self.frame, x, y, t: now, echo };
            let text = serde_json::to_string(&state).expect("numbers have a JSON form");
            // A state that can't be sent is left out: the next one replaces it.
            if player.channel.try_send(text) == Err(SendError::Full) {
                self.skipped += 1;
            }
        }
        if self.frame.is_multiple_of(REPORT) {
            self.report();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            // Both sides open the channel: it is one.
            Event::PeerJoined(peer) => self.players.push(Player::new(peer)),
            Event::Connected { peer, path } => println!("{} connected: {path}", label(&peer)),
            Event::Disconnected { peer, trouble } => {
                println!("{} not connected: {trouble}", label(&peer));
            }
            Event::PeerLeft { peer, reason } => {
                println!("{} is gone: {reason}", label(&peer));
                if let Some(at) = self.players.iter().position(|player| player.peer == peer) {
                    self.left.push_back(self.players.remove(at));
                    self.left.truncate(LEFT_MAX);
                }
            }
            Event::PathChanged { peer, path } => println!("{} now {path}", label(&peer)),
            // The server may be gone: those who play go on.
            Event::SignalingLost(_)
            | Event::SignalingResumed
            | Event::SignalingRejoined { .. }
            | Event::SignalingEnded(_)
            | Event::PeerRejoined { .. }
            | Event::PeerAway(_)
            | Event::PeerBack(_)
            | Event::ChannelOpened { .. }
            | Event::Message { .. }
            | Event::Room(_)
            | _ => {}
        }
    }

    fn has_heard(&self, players: usize, frames: u64) -> bool {
        let all = self.players.iter().chain(&self.left);
        all.filter(|player| player.received >= frames).count() >= players
    }

    fn report(&self) {
        for player in self.players.iter().chain(&self.left) {
            let (x, y) = player.place;
            let trip = player.round_trip_ms.unwrap_or(f64::NAN);
            println!(
                "{} at ({x:.2}, {y:.2}): {} states, {:.1} % lost, {} late; round trip {trip:.1} ms",
                label(&player.peer),
                player.received,
                player.lost() * 100.0,
                player.late,
            );
        }
        if self.skipped > 0 {
            println!("{} states were not sent: too much waited", self.skipped);
        }
    }

    fn clock_ms(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1e3
    }
}

impl Player {
    fn new(peer: Peer) -> Self {
        let channel = peer.channel("state", ChannelOptions::LOSSY);
        let messages = channel.messages();
        Self {
            peer,
            channel,
            messages,
            place: (0.5, 0.5),
            latest: None,
            first: 0,
            received: 0,
            late: 0,
            clock: None,
            round_trip_ms: None,
        }
    }

    /// Takes a state: the latest wins, and one that is older says nothing any more.
    fn take(&mut self, state: &State, now_ms: f64) {
        self.received += 1;
        if self.latest.is_some_and(|latest| state.n <= latest) {
            self.late += 1;
            return;
        }
        if self.latest.is_none() {
            self.first = state.n;
        }
        self.latest = Some(state.n);
        self.place = (state.x, state.y);
        self.clock = Some((state.t, Instant::now()));
        if let Some((clock, held)) = state.echo {
            let trip = now_ms - clock - held;
            let before = self.round_trip_ms.unwrap_or(trip);
            self.round_trip_ms = Some(before + NEWEST * (trip - before));
        }
    }

    /// The share of its states that never came.
    fn lost(&self) -> f64 {
        let Some(latest) = self.latest else { return 0.0 };
        let sent = latest + 1 - self.first;
        1.0 - (self.received.min(sent) as f64 / sent as f64)
    }
}

/// What to call a peer: the name it gives itself, and its id, which nobody can fake.
fn label(peer: &Peer) -> String {
    let name = peer.name().unwrap_or_else(|| "somebody".to_owned());
    format!("{} ({})", name.escape_debug(), peer.id())
}
