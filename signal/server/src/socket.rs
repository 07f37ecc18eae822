//! A client's WebSocket as its session sees it: whole frames in, frames out, and an end that the
//! client learns of.
//!
//! Bytes are read into the stack and written from a buffer that is given back once it is written
//! out, so a quiet connection holds no memory for them.

use crate::framing::{self, Decoder, Incoming};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use signal_core::protocol::CloseCode;
use signal_core::{FrameText, Numbered};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

/// How much is read at once.
const READ_BYTES: usize = 4096;

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
    stream: TokioIo<Upgraded>,
    decoder: Decoder,
    /// What is to be written; what is before `written` is.
    out: Vec<u8>,
    written: usize,
    /// The answer to the last ping: that to others before it may be left out (RFC 6455 §5.5.3).
    pong: Option<Box<[u8]>>,
}

/// What happened on the socket.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary,
    /// A ping (to be answered by itself), a pong, or a part of a frame.
    SignOfLife,
    /// A write that was stuck is done: there is room for more.
    Flushed,
    /// The client closed in order, with this code.
    Closed(Option<u16>),
    /// The client broke the WebSocket protocol: to be closed with this code.
    Wrong(CloseCode),
    /// The connection is broken.
    Broken,
}

impl Socket {
    pub(crate) fn new(upgraded: Upgraded, frame_bytes_max: usize) -> Self {
        Self {
            stream: TokioIo::new(upgraded),
            decoder: Decoder::new(frame_bytes_max),
            out: Vec::new(),
            written: 0,
            pong: None,
        }
    }

    /// Whether to send more: not while a write is stuck.
    pub(crate) fn takes_more(&self) -> bool {
        self.out.len() - self.written < WRITE_BUFFER_BYTES
    }

    /// Sends a text frame.
    pub(crate) fn send_text(&mut self, text: &FrameText) {
        framing::write_text(&mut self.out, |out| out.extend_from_slice(text.as_str().as_bytes()));
    }

    /// Sends a text frame with its numbers.
    pub(crate) fn send_frame(&mut self, frame: &Numbered) {
        self.out.reserve(frame.bytes_max() + framing::HEAD_BYTES_MAX);
        framing::write_text(&mut self.out, |out| frame.write(out));
    }

    /// Asks the client for a sign of life.
    pub(crate) fn send_ping(&mut self) {
        framing::write_ping(&mut self.out);
    }

    /// Writes out what was sent and waits for what comes; with `read` false only for the former.
    /// May be dropped at any time.
    pub(crate) async fn event(&mut self, read: bool) -> SocketEvent {
        poll_fn(|cx| self.poll_event(cx, read)).await
    }

    /// Tells the client that this is the end, and waits until it is gone too. To be called under a
    /// timeout.
    pub(crate) async fn close(&mut self, code: Option<CloseCode>) {
        if let Some(code) = code {
            framing::write_close(&mut self.out, code.number(), code.text());
        }
        // Errors change nothing: whoever can't be told isn't.
        let mut left = LINGER_BYTES_MAX;
        let _ = poll_fn(|cx| {
            ready!(self.poll_flush(cx))?;
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.poll_discard(cx, &mut left)
        })
        .await;
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<SocketEvent> {
        let was_stuck = !self.takes_more();
        let flushed = match self.poll_flush(cx) {
            Poll::Ready(Ok(())) => was_stuck,
            Poll::Ready(Err(_)) => return Poll::Ready(SocketEvent::Broken),
            Poll::Pending => false,
        };
        if read && let Poll::Ready(event) = self.poll_read(cx) {
            return Poll::Ready(event);
        }
        if flushed { Poll::Ready(SocketEvent::Flushed) } else { Poll::Pending }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        let mut decoded = match self.decoder.has_more() {
            true => self.decoder.decode(&[]),
            false => Ok(None),
        };
        loop {
            match decoded {
                Ok(None) => {}
                Ok(Some(message)) => return Poll::Ready(self.handle_message(message)),
                Err(code) => return Poll::Ready(SocketEvent::Wrong(code)),
            }
            let mut bytes = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut bytes);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(SocketEvent::Broken);
            }
            decoded = self.decoder.decode(buffer.filled());
        }
    }

    fn handle_message(&mut self, message: Incoming) -> SocketEvent {
        match message {
            Incoming::Text(text) => SocketEvent::Text(text),
            Incoming::Binary => SocketEvent::Binary,
            Incoming::Ping(payload) => {
                self.pong = Some(payload);
                SocketEvent::SignOfLife
            }
            Incoming::Pong | Incoming::Part => SocketEvent::SignOfLife,
            Incoming::Close(code) => {
                framing::write_close_answer(&mut self.out, code);
                SocketEvent::Closed(code)
            }
        }
    }

    /// Writes all out.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.takes_more()
            && let Some(payload) = self.pong.take()
        {
            framing::write_pong(&mut self.out, &payload);
        }
        if self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.written < self.out.len() {
            let rest = &self.out[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.written += bytes,
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        (self.out, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Reads until the client has closed, or has sent too much.
    fn poll_discard(&mut self, cx: &mut Context<'_>, left: &mut usize) -> Poll<io::Result<()>> {
        loop {
            let mut bytes = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            match buffer.filled().len() {
                0 => return Poll::Ready(Ok(())),
                count if count > *left => return Poll::Ready(Ok(())),
                count => *left -= count,
            }
        }
    }
}
