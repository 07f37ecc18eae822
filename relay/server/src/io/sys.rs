//! The system calls that neither std nor socket2 have. The one file of this package with `unsafe`.

#![expect(unsafe_code, reason = "calls into libc; everything it gives out is safe to use")]

use super::train::{TRAIN_SEGMENTS, Train};
use libc::{c_int, c_uint, c_void, epoll_event, iovec, mmsghdr, msghdr, sockaddr_in, sockaddr_in6};
use relay_core::{IcmpError, Transmit};
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The most buffers, or trains, that one system call moves.
pub(crate) const CALL_MESSAGES: usize = 64;

/// What a datagram to send is made of: head, body, pad.
const PARTS: usize = 3;

/// The most parts of what one system call sends: those of two full trains, or of single datagrams
/// as many as there may be.
const CALL_PARTS: usize = 2 * TRAIN_SEGMENTS * PARTS;

static PAD: [u8; 4] = [0; 4];

/// Room for the control message that says how a train is cut.
type SegmentControl = MaybeUninit<[u64; 3]>;

/// Receives what is there, one datagram or train of them a buffer, without waiting, and says how
/// many buffers that took; `each` gets the sender, the length, and that of the datagrams of a train
/// (the last may be shorter).
///
/// # Errors
/// What recvmmsg says if not a single datagram came: `WouldBlock`, or an ICMP error about an
/// earlier one.
pub(crate) fn receive<'a>(
    socket: BorrowedFd<'_>,
    buffers: impl Iterator<Item = &'a mut [u8]>,
    mut each: impl FnMut(SocketAddr, usize, Option<usize>),
) -> io::Result<usize> {
    let mut names = [const { MaybeUninit::<sockaddr_in6>::uninit() }; CALL_MESSAGES];
    let mut parts = [const { MaybeUninit::<iovec>::uninit() }; CALL_MESSAGES];
    let mut controls = [const { SegmentControl::uninit() }; CALL_MESSAGES];
    let mut headers = [const { MaybeUninit::<mmsghdr>::uninit() }; CALL_MESSAGES];
    let mut count = 0;
    for (i, buffer) in buffers.take(CALL_MESSAGES).enumerate() {
        parts[i].write(iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() });
        let mut header = header(names[i].as_mut_ptr(), NAME_BYTES, parts[i].as_mut_ptr(), 1);
        header.msg_hdr.msg_control = controls[i].as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = size_of::<SegmentControl>() as _;
        headers[i].write(header);
        count += 1;
    }
    // SAFETY: the first `count` headers are written, each pointing to a name, a part and room for
    // control messages that outlive the call, and each part to a buffer that is borrowed mutably,
    // and by nobody else, until after the call.
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
        let from = from.expect("an IP socket names the sender");
        each(from, header.msg_len as usize, read_segment(&header.msg_hdr));
    }
    Ok(received)
}

/// Sends `transmits` by one socket, in order, without waiting; with `in_trains` those that can be
/// sent as one.
///
/// What can't be sent is left out: its places among `transmits` and the error are given to
/// `failed`; the others go on.
pub(crate) fn send<'a, 'd: 'a>(
    socket: BorrowedFd<'_>,
    transmits: impl Iterator<Item = &'a Transmit<'d>>,
    in_trains: bool,
    mut failed: impl FnMut(Range<usize>, c_int),
) {
    let mut names = [const { MaybeUninit::<sockaddr_in6>::uninit() }; CALL_MESSAGES];
    let mut parts = [const { MaybeUninit::<iovec>::uninit() }; CALL_PARTS];
    let mut controls = [const { SegmentControl::uninit() }; CALL_MESSAGES];
    let mut headers = [const { MaybeUninit::<mmsghdr>::uninit() }; CALL_MESSAGES];
    // Where each message begins among the transmits, and the last one ends.
    let mut places = [0; CALL_MESSAGES + 1];
    let mut transmits = transmits.peekable();
    while transmits.peek().is_some() {
        let (mut count, mut used) = (0, 0);
        while count < CALL_MESSAGES && used + PARTS <= CALL_PARTS {
            let Some(first) = transmits.next() else { break };
            let begin = used;
            let mut train = Train::of(first);
            used += write_parts(&mut parts[used..], first);
            while in_trains && used + PARTS <= CALL_PARTS {
                let Some(next) = transmits.next_if(|next| train.take(next)) else { break };
                used += write_parts(&mut parts[used..], next);
            }
            let name_bytes = write_name(&mut names[count], first.to);
            let first_part = parts[begin..].as_mut_ptr().cast();
            let name = names[count].as_mut_ptr();
            let mut header = header(name, name_bytes, first_part, used - begin);
            if train.segments() > 1 {
                write_segment(&mut header.msg_hdr, &mut controls[count], train.segment_bytes());
            }
            headers[count].write(header);
            places[count + 1] = places[count] + train.segments();
            count += 1;
        }
        // SAFETY: the first `count` headers are written; each points to a name, to as many written
        // parts as it says and, if it says so, to a written control message, all of which outlive
        // the call and stay where they are, as do the bytes borrowed by `transmits`.
        unsafe {
            send_messages(socket, &mut headers[..count], |message, error| {
                failed(places[message]..places[message + 1], error);
            });
        }
        places[0] = places[count];
    }
}

/// Writes the parts of one datagram, and says how many there are.
fn write_parts(parts: &mut [MaybeUninit<iovec>], transmit: &Transmit<'_>) -> usize {
    let bytes = [transmit.head, transmit.body, &PAD[..transmit.pad]];
    let mut used = 0;
    for bytes in bytes.into_iter().filter(|bytes| !bytes.is_empty()) {
        let base: *const u8 = bytes.as_ptr();
        parts[used].write(iovec { iov_base: base.cast_mut().cast(), iov_len: bytes.len() });
        used += 1;
    }
    used
}

/// Sends written messages in order; gives `failed` those that can't be sent.
///
/// # Safety
/// All `headers` are written, and what they point to is as long as they say.
unsafe fn send_messages(
    socket: BorrowedFd<'_>,
    headers: &mut [MaybeUninit<mmsghdr>],
    mut failed: impl FnMut(usize, c_int),
) {
    let mut done = 0;
    let mut may_be_earlier = true;
    while done < headers.len() {
        let rest = &mut headers[done..];
        // SAFETY: as the caller promises; sendmmsg only reads what the headers point to.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                rest.as_mut_ptr().cast(),
                rest.len() as c_uint,
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
        failed(done, error);
        done += 1;
        may_be_earlier = true;
    }
}

/// Has the kernel cut the message into datagrams of so many bytes.
fn write_segment(header: &mut msghdr, control: &mut SegmentControl, bytes: u16) {
    control.write([0; 3]);
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of::<SegmentControl>() as _;
    // SAFETY: the room for control messages is aligned for one, zeroed, and longer than one with
    // two bytes of data.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as c_uint) as _;
        libc::CMSG_DATA(message).cast::<u16>().write_unaligned(bytes);
    }
}

/// How long the datagrams of a received train are; nothing if it is a single one.
fn read_segment(header: &msghdr) -> Option<usize> {
    let found = read_control(header, |level, kind| (level, kind) == (libc::SOL_UDP, libc::UDP_GRO));
    found.and_then(|bytes: c_int| usize::try_from(bytes).ok()).filter(|bytes| *bytes > 0)
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
    let found = read_control(header, |level, kind| {
        [(libc::IPPROTO_IP, libc::IP_RECVERR), (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)]
            .contains(&(level, kind))
    });
    let error: libc::sock_extended_err = found?;
    let is_icmp = [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6]
        .iter()
        .any(|origin| c_int::from(error.ee_origin) == c_int::from(*origin));
    let (kind, code, mtu) = (error.ee_type, error.ee_code, error.ee_info);
    is_icmp.then_some(IcmpError { kind, code, mtu })
}

/// What the kernel wrote into a control message.
trait Control: Copy {}

impl Control for c_int {}
impl Control for libc::sock_extended_err {}

/// The first control message of a received `header` whose level and type `is_it`, if it is long
/// enough.
fn read_control<T: Control>(header: &msghdr, is_it: impl Fn(c_int, c_int) -> bool) -> Option<T> {
    // SAFETY: the header is as the kernel left it, and its control messages live.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header within the buffer,
        // which is aligned for it.
        let found = unsafe { *message };
        // SAFETY: only a number is asked for.
        let whole = unsafe { libc::CMSG_LEN(size_of::<T>() as c_uint) };
        if is_it(found.cmsg_level, found.cmsg_type) && found.cmsg_len as usize >= whole as usize {
            // SAFETY: the message is long enough to hold one, and any bytes are one.
            return Some(unsafe { libc::CMSG_DATA(message).cast::<T>().read_unaligned() });
        }
        // SAFETY: both come from this header.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    None
}

/// Asks for trains of datagrams in one piece, by [`receive`].
///
/// # Errors
/// If this kernel can't (it is older than 5.0).
pub(crate) fn ask_for_trains(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_UDP, libc::UDP_GRO, 1)
}

/// Whether this kernel takes trains to send.
pub(crate) fn can_send_trains(socket: BorrowedFd<'_>) -> bool {
    // 0: no train but where a control message says so.
    set_option(socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok()
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

/// Makes the calling thread sleep for as long as it asks: else it may be 50 us more.
pub(crate) fn sleep_precisely() -> io::Result<()> {
    let slack_ns: libc::c_ulong = 1;
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack_ns) })?;
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

/// Whether a train wasn't sent because it is one: too long for the MTU of this path, or no card or
/// kernel that can cut it.
pub(crate) fn is_fault_of_train(error: c_int) -> bool {
    matches!(error, libc::EINVAL | libc::EMSGSIZE) || is_fault_of_card(error)
}

/// Whether no train can be sent by this way out, however short.
pub(crate) fn is_fault_of_card(error: c_int) -> bool {
    matches!(error, libc::EIO | libc::EOPNOTSUPP)
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

/// Makes this IPv6 socket believe in an MTU.
#[cfg(test)]
pub(super) fn set_mtu(socket: BorrowedFd<'_>, bytes: c_int) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU, bytes)
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
