//! What becomes of the relay's allocations when their peers leave: the signaling half tells the
//! relay half, through the real binary.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use futures_util::{SinkExt as _, StreamExt as _};
use relay_core::wire::{Class, Key, Message as Stun, Method, TransactionId, Writer, attribute};
use serde_json::{Value, json};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use support::{Heliograph, get};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody in a room.
struct Member {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    username: String,
    password: String,
}

impl Member {
    async fn join(server: &Heliograph) -> Self {
        let (mut socket, _) = connect_async(server.announced("WebSocket")).await.unwrap();
        let hello = json!({ "type": "hello", "room": "demo" }).to_string();
        socket.send(Message::text(hello)).await.unwrap();
        let mut member = Self { socket, username: String::new(), password: String::new() };
        let welcome = member.next("welcome").await;
        let servers = welcome["ice_servers"].as_array().unwrap();
        let turn = servers.iter().find(|server| server["username"].is_string()).unwrap();
        member.username = turn["username"].as_str().unwrap().to_owned();
        member.password = turn["credential"].as_str().unwrap().to_owned();
        member
    }

    async fn next(&mut self, kind: &str) -> Value {
        loop {
            let frame = timeout(PATIENCE, self.socket.next()).await.unwrap().unwrap().unwrap();
            let Message::Text(text) = frame else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    fn turn(&self, server: SocketAddr) -> Turn {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.connect(server).unwrap();
        let key = Key::long_term(&self.username, "heliograph", &self.password);
        Turn { socket, username: self.username.clone(), key, nonce: Vec::new(), sent: 0 }
    }
}

/// A TURN client that knows two requests.
struct Turn {
    socket: UdpSocket,
    username: String,
    key: Key,
    nonce: Vec<u8>,
    sent: u8,
}

impl Turn {
    /// Whether it was answered with success.
    fn request(&mut self, method: Method) -> bool {
        for _ in 0..3 {
            self.sent += 1;
            let mut buffer = [0; 1024];
            let id = TransactionId([self.sent; 12]);
            let mut writer = Writer::new(&mut buffer, Class::Request, method, id);
            if method == Method::Allocate {
                writer.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            }
            writer.attribute(attribute::USERNAME, self.username.as_bytes());
            writer.attribute(attribute::REALM, b"heliograph");
            writer.attribute(attribute::NONCE, &self.nonce);
            writer.integrity(&self.key);
            self.socket.send(writer.finish()).unwrap();
            let mut answer = [0; 1024];
            let length = self.socket.recv(&mut answer).unwrap();
            let answer = Stun::parse(&answer[..length]).unwrap();
            if answer.class() == Class::Success {
                return true;
            }
            let nonce = answer.attributes().find(|(kind, _)| *kind == attribute::NONCE);
            let Some((_, nonce)) = nonce else { return false };
            if nonce == self.nonce {
                return false;
            }
            self.nonce = nonce.to_vec();
        }
        false
    }
}

async fn wait_for_allocations(server: &Heliograph, count: usize) {
    let wanted = format!("heliograph_relay_allocations {count}\n");
    let deadline = Instant::now() + PATIENCE;
    while !get(server.http(), "/metrics").contains(&wanted) {
        assert!(Instant::now() < deadline, "waited in vain for {count} allocations");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_takes_the_relay_back_and_losing_the_signaling_does_not() {
    let server = Heliograph::start(&["--http", "127.0.0.1:0", "--turn", "127.0.0.1:0"]);
    let ada = Member::join(&server).await;
    let mut bob = Member::join(&server).await;
    let (mut of_ada, mut of_bob) = (ada.turn(server.turn()), bob.turn(server.turn()));
    assert!(of_ada.request(Method::Allocate) && of_bob.request(Method::Allocate));
    wait_for_allocations(&server, 2).await;

    // Ada's connection breaks, and she doesn't come back.
    drop(ada);
    bob.next("away").await;
    assert!(of_ada.request(Method::Refresh), "her peer connections live on");
    assert_eq!(bob.next("left").await["reason"], "lost");
    assert!(of_ada.request(Method::Refresh), "and longer than her session");

    bob.socket.send(Message::text(json!({ "type": "leave" }).to_string())).await.unwrap();
    wait_for_allocations(&server, 1).await;
    assert!(!of_bob.request(Method::Refresh), "his allocation is gone");
    assert!(!of_bob.request(Method::Allocate), "and his credentials with it");
    assert!(of_ada.request(Method::Refresh), "she still has hers");
}
