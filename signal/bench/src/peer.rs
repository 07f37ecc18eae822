//! One client: its socket, and what the protocol has it remember.

use crate::websocket;
use anyhow::Context as _;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsFd as _;

/// Whether it is on the way in, in, or on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No connection.
    Away,
    /// TCP is being opened.
    Connecting,
    /// The upgrade was asked for.
    Upgrading,
    /// A seat was asked for.
    Greeting,
    Joined,
    /// It has sent a close frame.
    Closing,
}

/// A client of the server.
pub(crate) struct Peer {
    pub(crate) state: State,
    stream: Option<TcpStream>,
    /// What came and is no whole frame yet, and what the socket didn't take.
    pub(crate) inbox: Vec<u8>,
    pub(crate) outbox: Vec<u8>,
    /// Whether it takes what comes.
    pub(crate) reads: bool,
    pub(crate) room: usize,
    pub(crate) name: Name,
    /// Who joined last, or the last one in the welcome: in a room of two, the other one.
    pub(crate) other: Name,
    /// How many others it was told of, and the sum of [`Name::mark`] of all.
    pub(crate) met: u64,
    pub(crate) met_marks: u64,
    pub(crate) begun_ns: u64,
    /// The number of the last frame that came, and of the last one that was acknowledged.
    pub(crate) seq: u64,
    pub(crate) acked: u64,
    /// Whether the time to acknowledge is set.
    pub(crate) ack_is_due: bool,
    /// The number of the last signal, and of the last one that the server acknowledged.
    pub(crate) id: u64,
    pub(crate) id_acked: u64,
    /// The code in the server's close frame.
    pub(crate) close_code: Option<u16>,
}

/// A peer id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    length: u8,
}

const NAME_BYTES_MAX: usize = 32;

impl Name {
    /// Nothing if it is too long.
    pub(crate) fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, length: text.len() as u8 })
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// A number of it, for sums that show whether somebody is missing.
    pub(crate) fn mark(&self) -> u64 {
        let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        self.text().iter().fold(0xcbf2_9ce4_8422_2325, mix)
    }
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// So many bytes.
    Bytes(usize),
    /// Nothing is there.
    Nothing,
    /// The connection is over.
    End,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Away,
            stream: None,
            inbox: Vec::new(),
            outbox: Vec::new(),
            reads: true,
            room: 0,
            name: Name::default(),
            other: Name::default(),
            met: 0,
            met_marks: 0,
            begun_ns: 0,
            seq: 0,
            acked: 0,
            ack_is_due: false,
            id: 0,
            id_acked: 0,
            close_code: None,
        }
    }

    /// Begins to open a connection, with a receive buffer of so many bytes if any are given.
    pub(crate) fn connect(
        &mut self,
        server: SocketAddrV4,
        from: Ipv4Addr,
        buffer_bytes: Option<usize>,
    ) -> anyhow::Result<&TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
        if let Some(bytes) = buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.set_tcp_nodelay(true)?;
        bench_kit::choose_port_late(socket.as_fd())?;
        socket.bind(&SocketAddrV4::new(from, 0).into())?;
        match socket.connect(&server.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                return Err(error).context("no connection, not even a port");
            }
            _ => {}
        }
        // What is still acknowledged or sent belongs to a connection before.
        let ack_is_due = self.ack_is_due;
        *self = Self { state: State::Connecting, ack_is_due, ..Self::new() };
        Ok(self.stream.insert(socket.into()))
    }

    pub(crate) fn stream(&self) -> anyhow::Result<&TcpStream> {
        self.stream.as_ref().context("a peer without connection")
    }

    /// Closes the connection, without a word.
    pub(crate) fn drop_connection(&mut self) {
        self.stream = None;
        self.state = State::Away;
        self.inbox = Vec::new();
        self.outbox = Vec::new();
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Came {
        let Some(mut stream) = self.stream.as_ref() else { return Came::Nothing };
        match stream.read(buffer) {
            Ok(0) => Came::End,
            Ok(bytes) => Came::Bytes(bytes),
            Err(error) if is_early(&error) => Came::Nothing,
            Err(_) => Came::End,
        }
    }

    /// Sends bytes, or keeps what the socket doesn't take; `true` if there is some. A broken
    /// connection shows when it is read.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        if self.outbox.is_empty() {
            let written = self.try_write(bytes);
            self.outbox.extend_from_slice(&bytes[written..]);
        } else {
            self.outbox.extend_from_slice(bytes);
        }
        !self.outbox.is_empty()
    }

    /// Sends what was kept; `true` if some still is.
    pub(crate) fn flush(&mut self) -> bool {
        let outbox = std::mem::take(&mut self.outbox);
        let written = self.try_write(&outbox);
        self.outbox.extend_from_slice(&outbox[written..]);
        !self.outbox.is_empty()
    }

    fn try_write(&self, bytes: &[u8]) -> usize {
        let Some(mut stream) = self.stream.as_ref() else { return bytes.len() };
        match stream.write(bytes) {
            Ok(written) => written,
            Err(error) if is_early(&error) => 0,
            Err(_) => bytes.len(),
        }
    }

    /// The text of an upgrade (RFC 6455 §4.1).
    pub(crate) fn ask_upgrade(&mut self, server: SocketAddrV4) {
        self.state = State::Upgrading;
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.write(request.as_bytes());
    }

    /// Writes the numbers of a frame of this client: the fields behind its first ones.
    pub(crate) fn write_ack(&mut self, text: &mut Vec<u8>) {
        if self.acked < self.seq {
            self.acked = self.seq;
            // Writing to a Vec doesn't fail.
            let _ = write!(text, ",\"ack\":{}", self.seq);
        }
    }
}

/// The head of the answer that accepts an upgrade; its length, once it is whole.
pub(crate) fn upgraded(bytes: &[u8]) -> Option<Result<usize, websocket::NoFrame>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let is_accepted = bytes.starts_with(b"HTTP/1.1 101 ")
        && bytes.windows(ACCEPT.len()).any(|part| part == ACCEPT);
    Some(if is_accepted { Ok(end) } else { Err(websocket::NoFrame) })
}

/// What RFC 6455 §1.3 says that the server makes of the key there, which is ours.
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn is_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected | io::ErrorKind::Interrupted
    )
}
