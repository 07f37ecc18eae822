//! Joins a room, connects to everybody in it (browser pages included) and exchanges messages.
//!
//! ```text
//! cargo run --example data_channel -- --room demo
//! ```
//!
//! On the page's playground this peer is a dot that goes round in a circle, over the lossy channel;
//! over the reliable one it greets, and it prints what others say.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use clap::Parser;
use heliograph_client::{Channel, Data, Event, Options, Peer, PeerId, Room, Token, join};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often the dot moves, as on the page.
const FRAME: Duration = Duration::from_micros(16_667);

/// How often the counts are printed.
const REPORT: Duration = Duration::from_secs(2);

/// Frames that one turn of the dot takes.
const TURN: u64 = 240;

/// Joins a room and exchanges messages with everybody in it.
#[derive(Debug, Parser)]
struct Args {
    /// The room to join.
    #[arg(long, default_value = "demo")]
    room: String,
    /// The server: its page or its WebSocket.
    #[arg(long, default_value = "ws://127.0.0.1:8080")]
    url: String,
    /// How others see this peer.
    #[arg(long, default_value = "rust")]
    name: String,
    /// Goes through the relay even where a direct path would work.
    #[arg(long)]
    relay_only: bool,
    /// Shown to be let in, where the server asks for it.
    #[arg(long)]
    token: Option<String>,
    /// Ends when so many lossy messages came from a peer, and were sent to it (5 % may be lost).
    #[arg(long, value_name = "N")]
    messages: Option<u64>,
    /// With --messages: seconds until it fails with exit code 1.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

/// A connected peer and what was exchanged with it.
struct Contact {
    peer: Peer,
    sent: u64,
    received: u64,
    lost: u64,
    /// The number that its next message should have.
    expected: Option<u64>,
    /// When its last message came, and the longest pause between two.
    heard: Option<Instant>,
    pause: Duration,
}

struct Player {
    contacts: BTreeMap<PeerId, Contact>,
    /// The one that left last.
    left: Option<Contact>,
    started: Instant,
    frame: u64,
    /// Where on the circle this peer starts, so that two don't cover each other.
    phase: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let metadata = json!({ "name": args.name });
    let token = args.token.as_deref().map(Token::new);
    let options = Options { metadata, relay_only: args.relay_only, token, ..Options::default() };
    let mut room = join(&args.url, &args.room, options).await?;
    println!("in room {} at {} as {} ({})", room.id(), args.url, args.name, room.peer_id());
    let reached = tokio::select! {
        reached = play(&mut room, &args) => reached,
        _ = tokio::signal::ctrl_c() => true,
        () = sleep(Duration::from_secs(args.timeout)), if args.messages.is_some() => {
            println!("timeout: too few messages in {} s", args.timeout);
            false
        }
    };
    room.close().await;
    println!("left the room");
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays until enough messages were exchanged (`true`) or the room ends (`false`).
async fn play(room: &mut Room, args: &Args) -> bool {
    let mut player = Player::new(room.peer_id());
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut reports = interval(REPORT);
    loop {
        tokio::select! {
            event = room.next() => match event {
                Some(event) => player.handle(event).await,
                None => return false,
            },
            _ = frames.tick() => player.move_dot().await,
            _ = reports.tick() => player.report().await,
        }
        if args.messages.is_some_and(|goal| player.has_exchanged(goal)) {
            player.report().await;
            return true;
        }
    }
}

impl Player {
    fn new(id: &PeerId) -> Self {
        let sum: u64 = id.as_str().bytes().map(u64::from).sum();
        let phase = (sum % 16) as f64 / 16.0;
        Self { contacts: BTreeMap::new(), left: None, started: Instant::now(), frame: 0, phase }
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::PeerJoined(peer) => println!("{} joined", label(&peer)),
            Event::Connected { peer, path } => {
                println!("{} connected: {path}", label(&peer));
                let _ = peer.send_reliable(json!({ "chat": "Hello from Rust." }).to_string()).await;
                let contact = Contact::new(peer.clone());
                self.contacts.entry(peer.id()).or_insert(contact);
            }
            Event::Message { peer, channel, data } => self.handle_message(&peer, &channel, &data),
            Event::Disconnected { peer, trouble } => {
                println!("{} not connected: {trouble}", label(&peer));
            }
            Event::PeerLeft { peer, reason } => {
                println!("{} is gone: {reason}", label(&peer));
                self.left = self.contacts.remove(&peer.id());
            }
            Event::PeerAway(peer) => println!("{} has lost the server", label(&peer)),
            Event::PeerBack(peer) => println!("{} has the server again", label(&peer)),
            Event::SignalingLost(error) => println!("server lost, trying again: {error}"),
            Event::SignalingResumed => println!("server back, nothing was lost"),
            Event::SignalingRejoined { peer_id } => {
                println!("server back, but it knew nothing any more: joined anew as {peer_id}");
            }
            Event::PeerRejoined { peer, before } => {
                println!("{} is still there; it was {before}", label(&peer));
                if let Some(contact) = self.contacts.remove(&before) {
                    self.contacts.insert(peer.id(), contact);
                }
            }
            Event::SignalingEnded(error) => println!("server lost for good: {error}"),
            Event::Room(_) | _ => {}
        }
    }

    fn handle_message(&mut self, peer: &Peer, channel: &Channel, data: &Data) {
        let message: Value = serde_json::from_slice(data.as_bytes()).unwrap_or_default();
        if channel.is_lossy() {
            if let Some(contact) = self.contacts.get_mut(&peer.id()) {
                contact.count(message["n"].as_u64());
            }
        } else if let Some(text) = message["chat"].as_str() {
            println!("{} says: {}", label(peer), text.escape_debug());
        }
    }

    /// Sends where the dot is now. What can't be sent is left out: the next frame replaces it.
    async fn move_dot(&mut self) {
        let angle = TAU * (self.phase + (self.frame % TURN) as f64 / TURN as f64);
        let message = json!({
            "x": 0.5 + 0.3 * angle.cos(),
            "y": 0.5 + 0.3 * angle.sin(),
            "n": self.frame,
            "t": self.started.elapsed().as_millis() as u64,
        });
        self.frame += 1;
        for contact in self.contacts.values_mut() {
            if contact.peer.send_lossy(message.to_string()).await.is_ok() {
                contact.sent += 1;
            }
        }
    }

    async fn report(&self) {
        for contact in self.contacts.values() {
            let Some(stats) = contact.peer.stats().await else {
                continue;
            };
            let round_trip = stats.round_trip.unwrap_or_default().as_secs_f64() * 1000.0;
            println!(
                "{}: lossy {} sent, {} received, {} lost, {} ms apart at most; \
                 RTT {round_trip:.1} ms; {}",
                label(&contact.peer),
                contact.sent,
                contact.received,
                contact.lost,
                contact.pause.as_millis(),
                stats.path,
            );
        }
    }

    fn has_exchanged(&self, goal: u64) -> bool {
        // A few more go out first, so that the other side reaches its goal as well.
        let done = |it: &Contact| it.has_received(goal) && it.sent >= goal + goal / 4;
        self.contacts.values().any(done) || self.left.iter().any(|it| it.has_received(goal))
    }
}

impl Contact {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            sent: 0,
            received: 0,
            lost: 0,
            expected: None,
            heard: None,
            pause: Duration::ZERO,
        }
    }

    fn has_received(&self, goal: u64) -> bool {
        self.received.saturating_add(self.lost) >= goal && self.received >= goal - goal / 20
    }

    /// Counts a message by its number. One that comes late was counted as lost.
    fn count(&mut self, number: Option<u64>) {
        self.received += 1;
        let now = Instant::now();
        let pause = now - self.heard.replace(now).unwrap_or(now);
        self.pause = self.pause.max(pause);
        let Some(number) = number else { return };
        match self.expected {
            Some(expected) if number < expected => self.lost = self.lost.saturating_sub(1),
            Some(expected) => {
                self.lost = self.lost.saturating_add(number - expected);
            }
            None => {}
        }
        self.expected = self.expected.max(Some(number.saturating_add(1)));
    }
}

/// What to call a peer: the name it gives itself, and its id, which nobody can fake.
fn label(peer: &Peer) -> String {
    let name = peer.name().unwrap_or_else(|| "somebody".to_owned());
    format!("{} ({})", name.escape_debug(), peer.id())
}
