//! A client's WebSocket as its session sees it: whole frames in, frames out, and an end that the
//! client learns of.

use futures_util::{Sink, SinkExt as _, Stream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use signal_core::FrameText;
use signal_core::protocol::CloseCode;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// What the reading buffer of a quiet connection holds. Frames over it are read into a buffer of
/// their own size.
const READ_BUFFER_BYTES: usize = 2048;

/// How much is collected for one write.
const WRITE_BUFFER_BYTES: usize = 4096;

/// How much a client may still send after the close frame; then the connection is reset.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// A WebSocket.
///
/// What is sent is buffered; [`event`](Self::event) writes it out. The buffer has no limit of its
/// own: a caller sends only while [`takes_more`](Self::takes_more).
#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    unflushed: usize,
}

/// What happened on the socket.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// A text frame.
    Text(Utf8Bytes),
    /// A binary frame.
    Binary,
    /// A ping (already answered) or a pong.
    SignOfLife,
    /// All that was sent is written out.
    Flushed,
    /// The client closed in order, with this code.
    Closed(Option<u16>),
    /// The client broke the WebSocket protocol: to be closed with this code.
    Wrong(CloseCode),
    /// The connection is broken.
    Broken,
}

impl Socket {
    pub(crate) async fn new(upgraded: Upgraded, frame_bytes_max: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_frame_size(Some(frame_bytes_max))
            .max_message_size(Some(frame_bytes_max));
        let io = TokioIo::new(upgraded);
        let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        Self { stream, unflushed: 0 }
    }

    /// Whether to send more: not while a write is stuck.
    pub(crate) fn takes_more(&self) -> bool {
        self.unflushed < WRITE_BUFFER_BYTES
    }

    /// Sends a text frame.
    pub(crate) fn send_text(&mut self, text: &FrameText) {
        let frame = Frame::message(text.bytes(), OpCode::Data(Data::Text), true);
        self.send(Message::Frame(frame), text.len());
    }

    /// Asks the client for a sign of life.
    pub(crate) fn send_ping(&mut self) {
        self.send(Message::Ping(Vec::new().into()), 0);
    }

    /// Writes out what was sent and waits for what comes; with `read` false only for the former.
    /// May be dropped at any time.
    pub(crate) async fn event(&mut self, read: bool) -> SocketEvent {
        poll_fn(|cx| self.poll_event(cx, read)).await
    }

    /// Tells the client that this is the end, and waits until it is gone too. To be called under a
    /// timeout.
    pub(crate) async fn close(mut self, code: Option<CloseCode>) {
        // Errors change nothing: whoever can't be told isn't.
        let _ = match code.map(close_frame) {
            Some(frame) => self.stream.send(Message::Close(Some(frame))).await,
            None => self.stream.flush().await,
        };
        let connection = self.stream.get_mut();
        if connection.shutdown().await.is_ok() {
            let mut rest = connection.take(LINGER_BYTES_MAX as u64);
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        }
    }

    fn send(&mut self, message: Message, bytes: usize) {
        self.unflushed += bytes + 1;
        // An error shows again when the buffer is written out.
        let _ = Pin::new(&mut self.stream).start_send(message);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<SocketEvent> {
        let mut flushed = false;
        if self.unflushed > 0 {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.unflushed = 0;
                    flushed = true;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(SocketEvent::Broken),
                Poll::Pending => {}
            }
        }
        if read && let Poll::Ready(event) = self.poll_read(cx) {
            return Poll::Ready(event);
        }
        if flushed { Poll::Ready(SocketEvent::Flushed) } else { Poll::Pending }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
            Some(Ok(Message::Text(text))) => SocketEvent::Text(text),
            Some(Ok(Message::Binary(_) | Message::Frame(_))) => SocketEvent::Binary,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => SocketEvent::SignOfLife,
            Some(Ok(Message::Close(frame))) => {
                SocketEvent::Closed(frame.map(|frame| frame.code.into()))
            }
            None => SocketEvent::Closed(None),
            Some(Err(error)) => failure(&error),
        })
    }
}

fn failure(error: &Error) -> SocketEvent {
    use tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
    match error {
        Error::Capacity(_) => SocketEvent::Wrong(CloseCode::TooBig),
        Error::Utf8(_) => SocketEvent::Wrong(CloseCode::NotUtf8),
        Error::Protocol(ResetWithoutClosingHandshake) => SocketEvent::Broken,
        Error::Protocol(_) => SocketEvent::Wrong(CloseCode::NotWebSocket),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_) => SocketEvent::Broken,
    }
}

fn close_frame(code: CloseCode) -> CloseFrame {
    CloseFrame { code: code.number().into(), reason: Utf8Bytes::from_static(code.text()) }
}
