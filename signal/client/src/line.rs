//! What carries a session's frames: the last connection to the server.

use crate::Error;
use crate::platform::{Boxed, Socket};
use std::future::pending;

/// The last connection.
pub(crate) enum Line {
    Closed,
    Opening(Boxed<Result<Box<Socket>, Error>>),
    Open(Box<Socket>),
}

/// What happened on a WebSocket.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    Text(String),
    /// Something else came, such as a ping (already answered).
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "browsers hide pings"))]
    SignOfLife,
    /// The server doesn't speak the protocol: why.
    Unreadable(String),
    /// The server closed it.
    Closed {
        code: u16,
        text: String,
    },
    /// It broke: why.
    Broken(String),
}

/// What one look at the line has brought.
pub(crate) enum Turn {
    Opened(Result<Box<Socket>, Error>),
    Socket(SocketEvent),
    Timeout,
}

impl Line {
    /// Waits for what comes next. Cancel safe.
    pub(crate) async fn turn(&mut self) -> Turn {
        match self {
            Self::Closed => pending().await,
            Self::Opening(opening) => Turn::Opened(opening.await),
            Self::Open(socket) => Turn::Socket(socket.event().await),
        }
    }
}
