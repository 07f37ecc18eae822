//! The system calls that neither std nor socket2 have. The one file of this package with `unsafe`.

#![expect(unsafe_code, reason = "calls into libc; everything it gives out is safe to use")]

use libc::{c_int, c_uint, c_void, epoll_event, iovec, mmsghdr, msghdr, sockaddr_in, sockaddr_in6};
use relay_core::{IcmpError, Transmit};
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The most datagrams that one system call moves.
pub(crate) const CALL_DATAGRAMS: usize = 64;

/// What a datagram to send is made of: head, body, pad.
const PARTS: usize = 3;

static PAD: [u8; 4] = [0; 4];

/// Receives what is there, one datagram a buffer, without waiting; `each` gets the sender and the
/// length of each.
///
/// # Errors
/// What recvmmsg says if not a single datagram came: `WouldBlock`, or an ICMP error about an
/// earlier one.
pub(crate) fn receive<'a>(
    socket: BorrowedFd<'_>,
    buffers: impl Iterator<Item = &'a mut [u8]>,
    mut each: impl FnMut(SocketAddr, usize),
) -> io::Result<()> {
    let mut names = [const { MaybeUninit::<sockaddr_in6>::uninit() }; CALL_DATAGRAMS];
    let mut parts = [const { MaybeUninit::<iovec>::uninit() }; CALL_DATAGRAMS];
    let mut headers = [const { MaybeUninit::<mmsghdr>::uninit() }; CALL_DATAGRAMS];
    let mut count = 0;
    for (i, buffer) in buffers.take(CALL_DATAGRAMS).enumerate() {
        parts[i].write(iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() });
        headers[i].write(header(names[i].as_mut_ptr(), NAME_BYTES, parts[i].as_mut_ptr(), 1));
        count += 1;
    }
    // SAFETY: the first `count` headers are written, each pointing to a name and a part that
    // outlive the call, and each part to a buffer that is borrowed mutably, and by nobody else,
    // until after the call.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count as c_uint,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for (header, name) in headers[..received].iter().zip(&names) {
        // SAFETY: written above, and since then by the kernel.
        let header = unsafe { header.assume_init_ref() };
        let from = read_name(name, header.msg_hdr.msg_namelen);
        each(from.expect("an IP socket names the sender"), header.msg_len as usize);
    }
    Ok(())
}

/// Sends the first [`CALL_DATAGRAMS`] of `transmits` by one socket, in order, without waiting.
///
/// One that can't be sent is left out, with its error given to `failed`; the others go on.
pub(crate) fn send<'a, 'd: 'a>(
    socket: BorrowedFd<'_>,
    transmits: impl Iterator<Item = &'a Transmit<'d>>,
    mut failed: impl FnMut(c_int),
) {
    let mut names = [const { MaybeUninit::<sockaddr_in6>::uninit() }; CALL_DATAGRAMS];
    let mut parts = [const { [const { MaybeUninit::<iovec>::uninit() }; PARTS] }; CALL_DATAGRAMS];
    let mut headers = [const { MaybeUninit::<mmsghdr>::uninit() }; CALL_DATAGRAMS];
    let mut count = 0;
    for (i, transmit) in transmits.take(CALL_DATAGRAMS).enumerate() {
        let name_bytes = write_name(&mut names[i], transmit.to);
        let bytes = [transmit.head, transmit.body, &PAD[..transmit.pad]];
        let mut used = 0;
        for bytes in bytes.into_iter().filter(|bytes| !bytes.is_empty()) {
            let base: *const u8 = bytes.as_ptr();
            parts[i][used].write(iovec { iov_base: base.cast_mut().cast(), iov_len: bytes.len() });
            used += 1;
        }
        let parts = parts[i].as_mut_ptr().cast();
        headers[i].write(header(names[i].as_mut_ptr(), name_bytes, parts, used));
        count += 1;
    }
    let mut done = 0;
    let mut may_be_earlier = true;
    while done < count {
        // SAFETY: the headers from `done` to `count` are written, each pointing to a name and to as
        // many written parts as it says, which outlive the call, as do the borrowed bytes; sendmmsg
        // only reads those.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers[done..].as_mut_ptr().cast(),
                (count - done) as c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        if let Ok(sent @ 1..) = usize::try_from(sent) {
            done += sent;
            may_be_earlier = true;
            continue;
        }
        let error = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        if error == libc::EINTR {
            continue;
        }
        // An ICMP error about an earlier datagram is told once, at the expense of this one: try it
        // again.
        if may_be_earlier && comes_by_icmp(error) {
            may_be_earlier = false;
            continue;
        }
        failed(error);
        done += 1;
        may_be_earlier = true;
    }
}

/// Takes up to `most` errors off the socket's error queue, and says how many there were; `each`
/// gets those that came by ICMP, with the address that the datagram had gone to.
pub(crate) fn take_icmp_errors(
    socket: BorrowedFd<'_>,
    most: usize,
    mut each: impl FnMut(SocketAddr, IcmpError),
) -> usize {
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    let mut taken = 0;
    while taken < most {
        let mut name = MaybeUninit::<sockaddr_in6>::uninit();
        let mut control = [0_u64; CONTROL_WORDS];
        let mut header = header(name.as_mut_ptr(), NAME_BYTES, std::ptr::null_mut(), 0).msg_hdr;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        // SAFETY: the header is whole; name and control messages are written to memory that
        // outlives it and is as long as it says; no data is asked for.
        if unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, flags) } < 0 {
            break;
        }
        taken += 1;
        if let (Some(to), Some(error)) =
            (read_name(&name, header.msg_namelen), read_icmp_error(&header))
        {
            each(to, error);
        }
    }
    taken
}

/// Room for the control message of an error: its header, the error, the address of who reported it.
const CONTROL_WORDS: usize = 32;

/// The ICMP error among the control messages of a received `header`.
fn read_icmp_error(header: &msghdr) -> Option<IcmpError> {
    // SAFETY: the header is as recvmsg left it, and its control messages live.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header within the buffer,
        // which is aligned for it.
        let found = unsafe { *message };
        let is_error = (found.cmsg_level, found.cmsg_type) == (libc::IPPROTO_IP, libc::IP_RECVERR)
            || (found.cmsg_level, found.cmsg_type) == (libc::IPPROTO_IPV6, libc::IPV6_RECVERR);
        // SAFETY: only a number is asked for.
        let whole = unsafe { libc::CMSG_LEN(size_of::<libc::sock_extended_err>() as c_uint) };
        if is_error && found.cmsg_len as usize >= whole as usize {
            // SAFETY: the message is long enough to hold one.
            let error = unsafe {
                libc::CMSG_DATA(message).cast::<libc::sock_extended_err>().read_unaligned()
            };
            let is_icmp = [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6]
                .iter()
                .any(|origin| c_int::from(error.ee_origin) == c_int::from(*origin));
            let (kind, code, mtu) = (error.ee_type, error.ee_code, error.ee_info);
            return is_icmp.then_some(IcmpError { kind, code, mtu });
        }
        // SAFETY: both come from this header.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    None
}

/// Asks for ICMP errors about what this socket sends: to be read by [`take_icmp_errors`].
pub(crate) fn ask_for_icmp_errors(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    let (level, name) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    };
    set_option(socket, level, name, 1)
}

/// Whether what this UDP socket sends may be fragmented. With IPv4 that is the DF bit, which is
/// otherwise up to the kernel; the path's MTU isn't remembered, so that each datagram that is too
/// long brings its own ICMP error.
pub(crate) fn set_dont_fragment(socket: BorrowedFd<'_>, ipv6: bool, value: bool) -> io::Result<()> {
    if ipv6 {
        return set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, value.into());
    }
    let how = if value { libc::IP_PMTUDISC_PROBE } else { libc::IP_PMTUDISC_DONT };
    set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, how)
}

/// Which of the two buffers of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Buffer {
    /// SO_RCVBUF.
    Receive,
    /// SO_SNDBUF.
    Send,
}

/// Asks for a socket buffer of `bytes`: past the system's limit if this process may, else up to it.
pub(crate) fn set_buffer(socket: BorrowedFd<'_>, buffer: Buffer, bytes: usize) -> io::Result<()> {
    let (forced, plain) = match buffer {
        Buffer::Receive => (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        Buffer::Send => (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    };
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX / 2);
    set_option(socket, libc::SOL_SOCKET, forced, bytes)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, plain, bytes))
}

/// Asks the kernel to take no more for a TCP connection while so many bytes are not yet sent.
pub(crate) fn set_unsent(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes)
}

fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let pointer: *const c_int = &value;
    // SAFETY: the pointer is to a c_int that outlives the call, and the length is its length.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            pointer.cast::<c_void>(),
            size_of::<c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// A new epoll instance.
pub(crate) fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is new and nobody else's.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?)) }
}

/// Watches `watched` for input, level-triggered. Closing it ends that.
pub(crate) fn epoll_add(
    epoll: BorrowedFd<'_>,
    watched: BorrowedFd<'_>,
    token: u64,
) -> io::Result<()> {
    let mut event = epoll_event { events: libc::EPOLLIN as u32, u64: token };
    // SAFETY: the event outlives the call.
    check(unsafe {
        libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, watched.as_raw_fd(), &mut event)
    })?;
    Ok(())
}

/// Waits for events; -1 waits for ever. Says how many it wrote to `events`: none also after a
/// signal.
pub(crate) fn epoll_wait(
    epoll: BorrowedFd<'_>,
    events: &mut [epoll_event],
    timeout_ms: c_int,
) -> io::Result<usize> {
    let most = c_int::try_from(events.len()).unwrap_or(c_int::MAX);
    // SAFETY: the kernel writes at most `most` events to a slice at least that long.
    let count =
        unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), most, timeout_ms) };
    match check(count) {
        Ok(count) => Ok(count as usize),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
    }
}

/// A new eventfd that doesn't block.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is new and nobody else's.
    unsafe {
        Ok(OwnedFd::from_raw_fd(check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?))
    }
}

/// Pins the calling thread to the `nth` of the CPUs it may run on (from the front again if there
/// are fewer).
pub(crate) fn pin_thread(nth: usize) -> io::Result<()> {
    let bytes = size_of::<libc::cpu_set_t>();
    // SAFETY: all zeros is the empty set.
    let mut allowed: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: the set outlives the call and is as long as said. 0 is the calling thread.
    check(unsafe { libc::sched_getaffinity(0, bytes, &mut allowed) })?;
    // SAFETY: every index is below CPU_SETSIZE, the length of a set.
    let is_allowed = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &allowed) };
    let cpus = || (0..libc::CPU_SETSIZE as usize).filter(is_allowed);
    let nth = nth % cpus().count().max(1);
    let cpu = cpus().nth(nth).ok_or(io::ErrorKind::NotFound)?;
    // SAFETY: all zeros is the empty set, and `cpu` is below CPU_SETSIZE.
    let only = unsafe {
        let mut only: libc::cpu_set_t = zeroed();
        libc::CPU_SET(cpu, &mut only);
        only
    };
    // SAFETY: the set outlives the call and is as long as said.
    check(unsafe { libc::sched_setaffinity(0, bytes, &only) })?;
    Ok(())
}

/// Raises this process's limit of open files as far as it may go by itself, and says how far that
/// is.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct outlives the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the struct outlives the call.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    }
    Ok(limit.rlim_cur)
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

const NAME_BYTES: u32 = size_of::<sockaddr_in6>() as u32;

fn header(name: *mut sockaddr_in6, name_bytes: u32, parts: *mut iovec, count: usize) -> mmsghdr {
    // SAFETY: all zeros is a header without name, data, control messages and flags.
    let mut header: msghdr = unsafe { zeroed() };
    header.msg_name = name.cast();
    header.msg_namelen = name_bytes;
    header.msg_iov = parts;
    header.msg_iovlen = count as _;
    mmsghdr { msg_hdr: header, msg_len: 0 }
}

/// Writes a socket address in the kernel's form, and says how long it is.
fn write_name(name: &mut MaybeUninit<sockaddr_in6>, address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(v4) => {
            let v4 = sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: a sockaddr_in6 is longer than a sockaddr_in and aligned alike.
            unsafe { name.as_mut_ptr().cast::<sockaddr_in>().write(v4) };
            size_of::<sockaddr_in>() as u32
        }
        SocketAddr::V6(v6) => {
            name.write(sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            });
            NAME_BYTES
        }
    }
}

/// Reads the socket address of which the kernel wrote `bytes` bytes; nothing if it is neither IPv4
/// nor IPv6.
fn read_name(name: &MaybeUninit<sockaddr_in6>, bytes: u32) -> Option<SocketAddr> {
    if (bytes as usize) < size_of::<sockaddr_in>() {
        return None;
    }
    // SAFETY: at least a sockaddr_in was written: the family, which stands first in both forms, and
    // 14 bytes more. A sockaddr_in6 is longer than that and aligned alike.
    let v4 = unsafe { name.as_ptr().cast::<sockaddr_in>().read() };
    match c_int::from(v4.sin_family) {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 if bytes >= NAME_BYTES => {
            // SAFETY: the kernel wrote all of it.
            let v6 = unsafe { name.assume_init_ref() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let (port, scope) = (u16::from_be(v6.sin6_port), v6.sin6_scope_id);
            Some(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        _ => None,
    }
}

/// Whether the kernel makes this error of an ICMP message.
fn comes_by_icmp(error: c_int) -> bool {
    matches!(
        error,
        libc::ECONNREFUSED
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP
            | libc::EMSGSIZE
            | libc::EPROTO
            | libc::EACCES
    )
}

/// What [`set_dont_fragment`] set.
#[cfg(test)]
pub(super) fn dont_fragment(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<bool> {
    let (level, name, yes) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1)
    } else {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
    };
    let mut value: c_int = -1;
    let mut bytes = size_of::<c_int>() as libc::socklen_t;
    let pointer: *mut c_int = &mut value;
    // SAFETY: the pointer is to a c_int that outlives the call, and the length is its length.
    check(unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, pointer.cast::<c_void>(), &mut bytes)
    })?;
    Ok(value == yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_address_reads_back_as_written() {
        for text in ["192.0.2.1:3478", "[2001:db8::1]:5349", "[fe80::1%7]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut name = MaybeUninit::uninit();
            let bytes = write_name(&mut name, address);
            assert_eq!(read_name(&name, bytes), Some(address));
        }
    }

    #[test]
    fn a_name_of_no_length_is_no_address() {
        assert_eq!(read_name(&MaybeUninit::uninit(), 0), None);
    }
}
