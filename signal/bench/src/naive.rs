//! A signaling relay as people write it by hand with axum, to compare: a reading task, a channel
//! and a writing task for each peer, one lock around all rooms, each frame taken apart as JSON.
//!
//! It speaks the part of the protocol that there is in every such relay: `hello`, `welcome`,
//! `joined`, `left`, `signal`.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;

/// How it is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Small buffers for each WebSocket instead of axum's own, and no waiting for more to send
    /// (TCP_NODELAY): what people change once they have measured.
    pub(crate) is_small: bool,
}

type Rooms = Arc<Mutex<HashMap<String, HashMap<String, Member>>>>;

struct Member {
    sender: UnboundedSender<Message>,
    metadata: Value,
}

#[derive(Clone)]
struct Server {
    setup: Setup,
    rooms: Rooms,
    last_peer: Arc<Mutex<u64>>,
}

/// Runs until it is killed.
///
/// # Errors
/// No socket.
pub(crate) fn run(setup: Setup, ready: impl FnOnce(SocketAddr)) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let server = Server { setup, rooms: Rooms::default(), last_peer: Arc::default() };
    let router = Router::new().route("/v1/ws", get(open)).with_state(server);
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        ready(listener.local_addr()?);
        if setup.is_small {
            let listener = listener.tap_io(|stream| {
                // A connection that is broken already shows that when it is read.
                let _ = stream.set_nodelay(true);
            });
            axum::serve(listener, router).await?;
        } else {
            axum::serve(listener, router).await?;
        }
        Ok(())
    })
}

async fn open(State(server): State<Server>, upgrade: WebSocketUpgrade) -> Response {
    let upgrade = match server.setup.is_small {
        true => upgrade.read_buffer_size(4096).write_buffer_size(0),
        false => upgrade,
    };
    upgrade.on_upgrade(move |socket| serve(server, socket))
}

async fn serve(server: Server, socket: WebSocket) {
    let (mut writing, mut reading) = socket.split();
    #[expect(clippy::disallowed_methods, reason = "as people write it")]
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let writer = tokio::spawn(async move {
        while let Some(message) = receiver.recv().await {
            if writing.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut seat = None;
    while let Some(Ok(message)) = reading.next().await {
        let Message::Text(text) = message else { continue };
        let Ok(frame) = serde_json::from_str::<Value>(&text) else { break };
        match (frame["type"].as_str(), &seat) {
            (Some("hello"), None) => seat = server.join(&frame, &sender),
            (Some("signal"), Some((room, peer))) => server.signal(room, peer, &frame),
            _ => break,
        }
    }
    if let Some((room, peer)) = seat {
        server.leave(&room, &peer);
    }
    drop(sender);
    let _ = writer.await;
}

impl Server {
    fn join(&self, hello: &Value, sender: &UnboundedSender<Message>) -> Option<(String, String)> {
        let room = hello["room"].as_str()?.to_owned();
        let metadata = hello["metadata"].clone();
        let peer = {
            let mut last = self.last_peer.lock().unwrap_or_else(PoisonError::into_inner);
            *last += 1;
            format!("peer-{:011}", *last)
        };
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let members = rooms.entry(room.clone()).or_default();
        let others: Vec<_> = members
            .iter()
            .map(|(peer, member)| json!({ "peer": peer, "metadata": member.metadata }))
            .collect();
        let welcome = json!({ "type": "welcome", "peer": peer, "members": others });
        let _ = sender.send(Message::Text(welcome.to_string().into()));
        let joined = json!({ "type": "joined", "peer": peer, "metadata": metadata });
        broadcast(members, &joined);
        members.insert(peer.clone(), Member { sender: sender.clone(), metadata });
        Some((room, peer))
    }

    fn signal(&self, room: &str, from: &str, frame: &Value) {
        let signal = json!({ "type": "signal", "from": from, "data": frame["data"] });
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let to = frame["to"].as_str().unwrap_or_default();
        if let Some(member) = rooms.get(room).and_then(|members| members.get(to)) {
            let _ = member.sender.send(Message::Text(signal.to_string().into()));
        }
    }

    fn leave(&self, room: &str, peer: &str) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(members) = rooms.get_mut(room) else { return };
        members.remove(peer);
        broadcast(members, &json!({ "type": "left", "peer": peer, "reason": "left" }));
        if members.is_empty() {
            rooms.remove(room);
        }
    }
}

fn broadcast(members: &HashMap<String, Member>, frame: &Value) {
    let message = Message::Text(frame.to_string().into());
    for member in members.values() {
        let _ = member.sender.send(message.clone());
    }
}
