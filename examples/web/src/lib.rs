//! A Rust program in a web page: it joins a room, connects to everybody in it, and returns what it
//! is sent.
//!
//! ```text
//! cargo run -p web-echo
//! python3 -m http.server --directory target/web-echo 8000
//! ```
//!
//! Then open `http://127.0.0.1:8000/?room=demo`, beside the server's own page,
//! `cargo run --example data_channel`, or another one of the same. With `match=QUEUE` in place of
//! the room two pages find each other.

#![cfg(target_arch = "wasm32")]

use heliograph_client::{
    Channel, ChannelOptions, Data, Event, MatchOptions, Options, Peer, Room, Ticket, find_match,
    join,
};
use js_sys::Function;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;
use tokio::sync::oneshot;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};
use wasm_bindgen_futures::spawn_local;

/// What the page holds of a seat in a room.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Seat {
    peers: Rc<RefCell<Vec<Peer>>>,
    leave: oneshot::Sender<()>,
    left: oneshot::Receiver<()>,
}

/// What runs in the page's event loop.
struct Echo {
    peers: Rc<RefCell<Vec<Peer>>>,
    /// Shows a line.
    show: Function,
}

/// Finds somebody else who looks for company in this queue: the room to meet in, or none if nobody
/// comes in time.
#[wasm_bindgen]
pub async fn find_company(server: String, queue: String) -> Result<Option<String>, JsError> {
    let found = find_match(&server, &Ticket::new(queue, 2..=2), MatchOptions::default()).await?;
    Ok(found.map(|found| found.room.to_string()))
}

/// Takes a seat in a room. From then on `show` is called with a line for whatever happens.
#[wasm_bindgen]
pub async fn sit_down(
    server: String,
    room: String,
    name: String,
    show: Function,
) -> Result<Seat, JsError> {
    let options = Options { metadata: json!({ "name": name }), ..Options::default() };
    let mut room = join(&server, &room, options).await?;
    let peers = Rc::default();
    let echo = Echo { peers: Rc::clone(&peers), show };
    let (leave, leaving) = oneshot::channel();
    let (tell, left) = oneshot::channel();
    echo.show(&format!("in room {} as {}", room.id(), room.peer_id()));
    spawn_local(async move {
        tokio::select! {
            () = echo.run(&mut room) => {}
            // Also if the page has dropped its seat.
            _ = leaving => {}
        }
        room.close().await;
        // The page may not wait for it.
        let _ = tell.send(());
    });
    Ok(Seat { peers, leave, left })
}

#[wasm_bindgen]
impl Seat {
    /// Says something to everybody who is connected; waits while too much is on its way.
    pub async fn say(&self, text: String) {
        let chat = json!({ "chat": text }).to_string();
        let peers = self.peers.borrow().clone();
        for peer in peers {
            // It may have left meanwhile.
            let _ = peer.send_reliable(chat.as_str()).await;
        }
    }

    /// Leaves the room, and waits until nothing of it is left.
    pub async fn leave(self) {
        let _ = self.leave.send(());
        let _ = self.left.await;
    }
}

impl Echo {
    async fn run(&self, room: &mut Room) {
        while let Some(event) = room.next().await {
            self.handle(event);
        }
    }

    fn handle(&self, event: Event) {
        match event {
            Event::Connected { peer, path } => {
                self.show(&format!("{} connected: {path}", name(&peer)));
                self.greet(&peer);
                self.peers.borrow_mut().push(peer);
            }
            Event::Message { peer, channel, data } => self.answer(&peer, &channel, &data),
            Event::Disconnected { peer, trouble } => {
                self.show(&format!("{} not connected: {trouble}", name(&peer)));
                self.forget(&peer);
            }
            Event::PeerLeft { peer, reason } => {
                self.show(&format!("{} is gone: {reason}", name(&peer)));
                self.forget(&peer);
            }
            Event::PeerRejoined { peer, .. } => {
                self.show(&format!("{} has joined anew", name(&peer)));
            }
            Event::SignalingLost(error) => self.show(&format!("server lost: {error}")),
            Event::SignalingResumed => self.show("server back"),
            Event::SignalingRejoined { peer_id } => {
                self.show(&format!("server back, joined anew as {peer_id}"));
            }
            Event::SignalingEnded(error) => self.show(&format!("server lost for good: {error}")),
            Event::PeerJoined(_) | Event::PeerAway(_) | Event::PeerBack(_) | Event::Room(_) | _ => {
            }
        }
    }

    /// Says something over each channel, and over one that is opened for it.
    fn greet(&self, peer: &Peer) {
        let greeting = json!({ "chat": "Hello from Rust in a page." }).to_string();
        let number = json!({ "n": 0 }).to_string();
        let notes = peer.channel("notes", ChannelOptions::RELIABLE);
        // If they are closed by now, an event says so.
        let _ = peer.reliable().try_send(greeting);
        let _ = peer.lossy().try_send(number.as_str());
        let _ = notes.try_send(number);
    }

    /// Shows what was said, and returns everything with a mark. What has the mark isn't returned
    /// again.
    fn answer(&self, peer: &Peer, channel: &Channel, data: &Data) {
        let Ok(Value::Object(mut message)) = serde_json::from_slice(data.as_bytes()) else {
            return;
        };
        let is_echo = message.contains_key("echo");
        if let Some(text) = message.get("chat").and_then(Value::as_str) {
            let verb = if is_echo { "echoes" } else { "says" };
            self.show(&format!("{} {verb}: {text}", name(peer)));
        } else if is_echo {
            self.show(&format!("{} echoes over {}", name(peer), channel.label()));
        }
        if !is_echo {
            message.insert("echo".to_owned(), true.into());
            let _ = channel.try_send(Value::from(message).to_string());
        }
    }

    fn forget(&self, gone: &Peer) {
        self.peers.borrow_mut().retain(|peer| peer != gone);
    }

    fn show(&self, line: &str) {
        // If the page's function throws, the browser's console says so.
        let _ = self.show.call1(&JsValue::NULL, &line.into());
    }
}

fn name(peer: &Peer) -> String {
    peer.name().unwrap_or_else(|| peer.id().to_string())
}
