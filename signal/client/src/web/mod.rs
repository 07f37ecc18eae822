//! What a room runs on in a browser: its WebSocket, its `RTCPeerConnection`, its event loop.
//!
//! `native` has the same names for everything else; nothing else in this crate knows which of the
//! two it is. A page has one thread, so nothing here needs to be `Send`.

mod channel;
mod config;
mod connection;
mod http;
mod json;
mod listener;
mod network;
mod report;
mod socket;
mod task;
mod timer;

pub(crate) use channel::DataChannel;
pub(crate) use connection::{Connection, Connector};
pub(crate) use http::{Answer, Http};
pub(crate) use network::Network;
pub(crate) use socket::Socket;
pub(crate) use task::{Task, spawn, spawn_last};
pub(crate) use timer::{now, sleep_until};

use std::pin::Pin;

/// A future that a task or a struct holds.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// Good randomness.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("every page has Crypto.getRandomValues");
    bytes
}
