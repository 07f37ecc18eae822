//! What a client's messages go by: UDP, TCP or TLS.

use crate::sys;
use anyhow::Context as _;
use relay_core::wire::{STREAM_MESSAGE_BYTES_MAX, stream_message_bytes};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

/// How clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// The way of one client to the server.
pub(crate) enum Link {
    Udp(UdpSocket),
    Stream(Box<Stream>),
}

/// A connection, with what was read or written of a message before it is whole.
pub(crate) struct Stream {
    socket: TcpStream,
    tls: Option<ClientConnection>,
    begun: Vec<u8>,
    unsent: Vec<u8>,
}

/// Of each socket of ours: 8 MiB, so that losses are the server's.
const SOCKET_BUFFER_BYTES: i32 = 8 << 20;

/// How much is read from a connection in one go.
const READ_BYTES: usize = 16_384;

/// A UDP socket of ours that doesn't lose.
pub(crate) fn socket(ip: Ipv4Addr) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((ip, 0)).context("no socket")?;
    sys::set_buffers(socket.as_fd(), SOCKET_BUFFER_BYTES)?;
    Ok(socket)
}

/// What clients need to trust the server's certificate.
pub(crate) fn tls_config(certificate: &CertificateDer<'static>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl Link {
    pub(crate) fn udp(ip: Ipv4Addr, server: SocketAddrV4) -> anyhow::Result<Self> {
        let socket = socket(ip)?;
        socket.connect(server)?;
        Ok(Self::Udp(socket))
    }

    /// `tls`: the handshake is done with the first messages.
    pub(crate) fn stream(
        server: SocketAddrV4,
        tls: Option<&Arc<ClientConfig>>,
    ) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(server).context("no connection")?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let tls = tls.map(|config| ClientConnection::new(Arc::clone(config), name)).transpose()?;
        let (begun, unsent) = (Vec::new(), Vec::new());
        Ok(Self::Stream(Box::new(Stream { socket, tls, begun, unsent })))
    }

    /// For how long [`Self::receive_one`] waits; nothing: the link is never waited for any more.
    pub(crate) fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Udp(socket) => {
                socket.set_read_timeout(patience)?;
                socket.set_nonblocking(patience.is_none())
            }
            Self::Stream(stream) => {
                stream.socket.set_read_timeout(patience)?;
                stream.socket.set_nonblocking(patience.is_none())
            }
        }
    }

    /// Sends one message.
    pub(crate) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message).map(drop),
            Self::Stream(stream) => stream.send(message),
        }
    }

    /// Waits for one message, and says how long it is.
    pub(crate) fn receive_one(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.recv(buffer),
            Self::Stream(stream) => loop {
                if let Some(message) = stream.first_message()? {
                    buffer[..message].copy_from_slice(&stream.begun[..message]);
                    stream.begun.drain(..message);
                    return Ok(message);
                }
                stream.read()?;
            },
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp(socket) => socket.as_fd(),
            Self::Stream(stream) => stream.socket.as_fd(),
        }
    }
}

impl Stream {
    /// Takes what came, and gives each whole message to `each`.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        match self.read() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            read => read?,
        }
        let mut begin = 0;
        while let Some(bytes) = whole_message(&self.begun[begin..])? {
            each(&self.begun[begin..][..bytes]);
            begin += bytes;
        }
        self.begun.drain(..begin);
        Ok(())
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(message)?,
            None => self.unsent.extend_from_slice(message),
        }
        match self.flush() {
            // The rest goes with the next one.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            sent => sent,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let sent = self.socket.write(&self.unsent)?;
            self.unsent.drain(..sent);
        }
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut self.socket)?;
            }
        }
        Ok(())
    }

    /// Reads once, and answers what a TLS server asks on the way.
    fn read(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => {
                let begin = self.begun.len();
                self.begun.resize(begin + READ_BYTES, 0);
                let read = self.socket.read(&mut self.begun[begin..]);
                self.begun.truncate(begin + *read.as_ref().unwrap_or(&0));
                if read? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Some(tls) => {
                if tls.read_tls(&mut self.socket)? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                tls.process_new_packets().map_err(io::Error::other)?;
                match tls.reader().read_to_end(&mut self.begun) {
                    // That is all for now.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => drop(read?),
                }
            }
        }
        self.flush()
    }

    fn first_message(&self) -> io::Result<Option<usize>> {
        whole_message(&self.begun)
    }
}

fn whole_message(stream: &[u8]) -> io::Result<Option<usize>> {
    let bytes = stream_message_bytes(stream, STREAM_MESSAGE_BYTES_MAX);
    let bytes = bytes.map_err(|_| io::Error::other("the server sends no STUN"))?;
    Ok(bytes.filter(|bytes| *bytes <= stream.len()))
}
