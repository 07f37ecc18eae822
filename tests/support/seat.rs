//! Somebody in a room of the real binary, and a TURN client with the credentials of the seat.

#![allow(dead_code, reason = "each test file uses its part of it")]

use crate::support::Heliograph;
use futures_util::{SinkExt as _, StreamExt as _};
use relay_core::wire::{Class, Key, Message as Stun, Method, TransactionId, Writer, attribute};
use serde_json::{Value, json};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody in a room.
pub(crate) struct Member {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) peer: String,
    pub(crate) username: String,
    pub(crate) password: String,
}

impl Member {
    pub(crate) async fn join(server: &Heliograph, room: &str) -> Self {
        Self::join_as(server, room, &json!({})).await
    }

    pub(crate) async fn join_as(server: &Heliograph, room: &str, metadata: &Value) -> Self {
        let (mut socket, _) = connect_async(server.announced("WebSocket")).await.unwrap();
        let hello = json!({ "type": "hello", "room": room, "metadata": metadata }).to_string();
        socket.send(Message::text(hello)).await.unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let empty = String::new;
        let mut member = Self { socket, peer: empty(), username: empty(), password: empty() };
        let welcome = member.next("welcome").await;
        member.peer = text(&welcome["peer"]);
        // Without a relay there are none.
        let servers = welcome["ice_servers"].as_array().unwrap();
        if let Some(turn) = servers.iter().find(|server| server["username"].is_string()) {
            member.username = text(&turn["username"]);
            member.password = text(&turn["credential"]);
        }
        member
    }

    pub(crate) async fn next(&mut self, kind: &str) -> Value {
        loop {
            let frame = timeout(PATIENCE, self.socket.next()).await.unwrap().unwrap().unwrap();
            let Message::Text(text) = frame else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Expects the server to close with this code, whatever comes before.
    pub(crate) async fn expect_close(mut self, code: u16) {
        loop {
            let frame = timeout(PATIENCE, self.socket.next()).await.unwrap().unwrap().unwrap();
            if let Message::Close(close) = frame {
                return assert_eq!(u16::from(close.unwrap().code), code);
            }
        }
    }

    pub(crate) fn turn(&self, server: SocketAddr) -> Turn {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.connect(server).unwrap();
        let key = Key::long_term(&self.username, "heliograph", &self.password);
        Turn { socket, username: self.username.clone(), key, nonce: Vec::new(), sent: 0 }
    }
}

/// A TURN client that knows a few requests.
pub(crate) struct Turn {
    pub(crate) socket: UdpSocket,
    username: String,
    key: Key,
    nonce: Vec<u8>,
    sent: u8,
}

impl Turn {
    /// Whether it was answered with success.
    pub(crate) fn request(&mut self, method: Method) -> bool {
        self.request_for(method, None)
    }

    /// The same about a peer.
    pub(crate) fn request_for(&mut self, method: Method, peer: Option<SocketAddr>) -> bool {
        for _ in 0..3 {
            self.sent += 1;
            let mut buffer = [0; 1024];
            let id = TransactionId([self.sent; 12]);
            let mut writer = Writer::new(&mut buffer, Class::Request, method, id);
            if method == Method::Allocate {
                writer.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            }
            if let Some(peer) = peer {
                writer.attribute(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0]);
                writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
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
