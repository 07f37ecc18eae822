//! A WebSocket to the server.

use super::config::READ_BUFFER_BYTES;
use super::stream::{Io, connect, step};
use crate::Error;
use crate::config::{GOODBYE_TIMEOUT, SERVER_FRAME_BYTES_MAX};
use crate::line::SocketEvent;
use crate::place::Place;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use signal_core::protocol::SUBPROTOCOL;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// The close code that stands for a close frame without one (RFC 6455 §7.1.5).
const NO_STATUS: u16 = 1005;

/// An open connection. What is sent waits in it; how much that can be, the session limits.
pub(crate) struct Socket {
    stream: WebSocketStream<Box<dyn Io>>,
    is_flushed: bool,
    is_local: bool,
}

impl Socket {
    /// Connects and upgrades.
    pub(crate) async fn open(place: Place) -> Result<Box<Self>, Error> {
        let (io, is_local) = connect(&place).await?;
        let not_ours = |error: WsError| Error::NotHeliograph {
            address: place.address(),
            why: error.to_string(),
        };
        let mut request = (&*place.url).into_client_request().map_err(not_ours)?;
        let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert("sec-websocket-protocol", subprotocol);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(SERVER_FRAME_BYTES_MAX))
            .max_frame_size(Some(SERVER_FRAME_BYTES_MAX));
        let upgrade = client_async_with_config(request, io, Some(config));
        let (stream, _) = step(&place, upgrade).await?.map_err(not_ours)?;
        Ok(Box::new(Self { stream, is_flushed: true, is_local }))
    }

    /// Whether the server is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.is_local
    }

    /// Sends a text frame; [`event`](Self::event) writes it out.
    pub(crate) fn send(&mut self, text: String) {
        // If it can't be sent, what happened is still to be read.
        let _ = Pin::new(&mut self.stream).start_send(Message::text(text));
        self.is_flushed = false;
    }

    /// Writes out what was sent and waits for what comes. Cancel safe.
    pub(crate) async fn event(&mut self) -> SocketEvent {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Closes it in the background, since the server may not answer any more.
    pub(crate) fn give_up(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::from_static("") };
        tokio::spawn(async move {
            let close = self.stream.send(Message::Close(Some(frame)));
            let _ = timeout(GOODBYE_TIMEOUT, close).await;
        });
    }

    /// Writes out what was sent and waits, not for long, until the server closes it.
    pub(crate) async fn wait_for_close(mut self) {
        let close = async {
            loop {
                match self.event().await {
                    SocketEvent::Text(_) | SocketEvent::SignOfLife => {}
                    SocketEvent::Closed { .. } => break,
                    SocketEvent::Unreadable(_)
                    | SocketEvent::Broken(_)
                    | SocketEvent::Failed(_) => return,
                }
            }
            // Lets tungstenite send the close frame's answer.
            while let Some(Ok(_)) = self.stream.next().await {}
        };
        let _ = timeout(GOODBYE_TIMEOUT, close).await;
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        if !self.is_flushed {
            // An error shows again, and says more, when it is read.
            self.is_flushed = Pin::new(&mut self.stream).poll_flush(cx).is_ready();
        }
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
            Some(Ok(Message::Text(text))) => SocketEvent::Text(text.to_string()),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                SocketEvent::SignOfLife
            }
            Some(Ok(Message::Binary(_))) => {
                SocketEvent::Unreadable("it sent a binary frame".to_owned())
            }
            Some(Ok(Message::Close(None))) => {
                SocketEvent::Closed { code: NO_STATUS, text: "it gave no reason".to_owned() }
            }
            Some(Ok(Message::Close(Some(frame)))) => {
                let (code, text) = (frame.code.into(), frame.reason.to_string());
                SocketEvent::Closed { code, text }
            }
            Some(Err(error)) if is_wrong(&error) => SocketEvent::Unreadable(error.to_string()),
            Some(Err(error)) => SocketEvent::Broken(error.to_string()),
            None => SocketEvent::Broken("it ended without a close frame".to_owned()),
        })
    }
}

/// Whether the connection carried something wrong, rather than broke.
fn is_wrong(error: &WsError) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    match error {
        WsError::Protocol(error) => *error != ProtocolError::ResetWithoutClosingHandshake,
        WsError::Utf8(_) | WsError::Capacity(_) => true,
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Io(_)
        | WsError::Tls(_)
        | WsError::WriteBufferFull(_)
        | WsError::AttackAttempt
        | WsError::Url(_)
        | WsError::Http(_)
        | WsError::HttpFormat(_) => false,
    }
}
