//! How the relay's sockets are made.

use crate::config::Limits;
use crate::error::Note;
use crate::io::sys::{self, Buffer};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;

/// One socket for each worker, bound to one address, which may have port 0. The kernel shares the
/// clients out by their addresses: all datagrams of one client come to one worker.
///
/// # Errors
/// What bind says; `AddrInUse` also if the other socket would share, so that two relays never share
/// by mistake.
pub(crate) fn listeners(
    address: SocketAddr,
    workers: usize,
    limits: &Limits,
) -> io::Result<Vec<UdpSocket>> {
    let first = udp(address)?;
    // Bound before it agrees to share: it gets the address only if nobody has it.
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    let mut sockets = vec![UdpSocket::from(first)];
    let address = sockets[0].local_addr()?;
    while sockets.len() < workers {
        let next = udp(address)?;
        next.set_reuse_port(true)?;
        next.bind(&address.into())?;
        sockets.push(next.into());
    }
    for socket in &sockets {
        if limits.offload {
            sys::ask_for_trains(socket.as_fd())?;
        }
        sys::set_buffer(socket.as_fd(), Buffer::Receive, limits.listener_receive_bytes)?;
        sys::set_buffer(socket.as_fd(), Buffer::Send, limits.listener_send_bytes)?;
    }
    Ok(sockets)
}

/// Whether this kernel receives and sends trains of datagrams in one piece.
///
/// # Errors
/// If there can't be a socket.
pub(crate) fn has_offload() -> io::Result<bool> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    Ok(sys::ask_for_trains(socket.as_fd()).is_ok() && sys::can_send_trains(socket.as_fd()))
}

/// A socket that accepts streams, for tokio: it never blocks.
pub(crate) fn stream_listener(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait until the last connections of the process before are forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog.try_into().unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A relay port: the socket of one allocation, with ICMP errors asked for.
pub(crate) fn port(address: SocketAddr, limits: &Limits) -> io::Result<UdpSocket> {
    let socket = udp(address)?;
    socket.bind(&address.into())?;
    if limits.offload {
        sys::ask_for_trains(socket.as_fd())?;
    }
    sys::set_buffer(socket.as_fd(), Buffer::Receive, limits.port_receive_bytes)?;
    // RFC 8656 §14: DF is set if the client asks for it, else "assume the incoming DF bit is 0".
    sys::set_dont_fragment(socket.as_fd(), address.is_ipv6(), false)?;
    sys::ask_for_icmp_errors(socket.as_fd(), address.is_ipv6())?;
    Ok(socket.into())
}

/// A TCP relay port, which doesn't listen yet. It shares its address with the sockets that connect
/// from it.
pub(crate) fn tcp_port(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Bound before it agrees to share: it gets the address only if nobody listens there.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Which buffers of a listener are smaller than asked for.
pub(crate) fn buffer_notes(socket: &UdpSocket, limits: &Limits) -> io::Result<Vec<Note>> {
    let socket = SockRef::from(socket);
    let (receive, send) = (limits.listener_receive_bytes, limits.listener_send_bytes);
    // The kernel doubles the number asked for, for its own book-keeping.
    let buffers = [
        ("receive", receive, socket.recv_buffer_size()? / 2, "net.core.rmem_max"),
        ("send", send, socket.send_buffer_size()? / 2, "net.core.wmem_max"),
    ];
    let smaller = buffers.into_iter().filter(|(_, asked, got, _)| got < asked);
    Ok(smaller
        .map(|(name, asked, got, sysctl)| Note::SocketBuffer { name, asked, got, sysctl })
        .collect())
}

fn udp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}
