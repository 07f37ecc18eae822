//! The system calls that neither std nor socket2 have. The one file of this package with `unsafe`.
//!
//! IPv4 only: so is the benchmark.

#![expect(unsafe_code, reason = "calls into libc; everything it gives out is safe to use")]

use libc::{c_int, c_uint, c_void, iovec, mmsghdr, msghdr, sockaddr_in};
use std::fs::File;
use std::io::{self, Write as _};
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The most datagrams that one system call moves.
pub(crate) const CALL_DATAGRAMS: usize = 64;

/// Room for datagrams of one or more sockets, with headers that are made once.
pub(crate) struct Receiver {
    bytes: Vec<u8>,
    names: Vec<sockaddr_in>,
    parts: Vec<iovec>,
    controls: Vec<[u64; CONTROL_WORDS]>,
    headers: Vec<mmsghdr>,
    slot_bytes: usize,
    filled: usize,
}

/// A received datagram, or a train of them that the kernel merged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'r> {
    pub(crate) from: SocketAddrV4,
    pub(crate) bytes: &'r [u8],
    /// How long each datagram of a train is; the last may be shorter. A single one: all of it.
    pub(crate) segment_bytes: usize,
}

/// Apart by an odd number of cache lines, so that the first bytes of all datagrams don't compete
/// for the same ones.
const SLOT_GAP_BYTES: usize = 192;

const CONTROL_WORDS: usize = 4;

impl Receiver {
    /// Room for `slots` datagrams or trains of at most `slot_bytes`, a multiple of 64.
    pub(crate) fn new(slots: usize, slot_bytes: usize) -> Self {
        let stride = slot_bytes + SLOT_GAP_BYTES;
        let mut receiver = Self {
            bytes: vec![0; slots * stride],
            // SAFETY: a sockaddr_in of zeros is the address 0.0.0.0:0 of no family.
            names: vec![unsafe { zeroed() }; slots],
            parts: Vec::with_capacity(slots),
            controls: vec![[0; CONTROL_WORDS]; slots],
            headers: Vec::with_capacity(slots),
            slot_bytes,
            filled: 0,
        };
        for slot in receiver.bytes.chunks_exact_mut(stride) {
            receiver.parts.push(iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot_bytes });
        }
        for slot in 0..slots {
            let header = mmsghdr { msg_hdr: empty_header(), msg_len: 0 };
            receiver.headers.push(header);
            let header = &mut receiver.headers[slot].msg_hdr;
            header.msg_iov = &mut receiver.parts[slot];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut receiver.names[slot]).cast();
            header.msg_control = receiver.controls[slot].as_mut_ptr().cast();
        }
        receiver.filled = slots;
        receiver.clear();
        receiver
    }

    /// For how many more datagrams there is room.
    pub(crate) fn room(&self) -> usize {
        self.headers.len() - self.filled
    }

    /// How many it holds.
    pub(crate) fn len(&self) -> usize {
        self.filled
    }

    /// Adds up to `most` datagrams that wait at the socket, and says how many came.
    ///
    /// # Errors
    /// What recvmmsg says if none came: `WouldBlock`, or an ICMP error about an earlier one.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let most = most.min(self.room()).min(CALL_DATAGRAMS);
        let headers = &mut self.headers[self.filled..][..most];
        // SAFETY: the headers point to names, parts, controls and through the parts to bytes that
        // `self` owns, which never move or grow; they are borrowed mutably with it.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                most as c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        self.filled += received;
        Ok(received)
    }

    /// The datagram at a place, 0 up to [`Self::len`].
    pub(crate) fn get(&self, place: usize) -> Datagram<'_> {
        let header = &self.headers[..self.filled][place];
        let begin = place * (self.slot_bytes + SLOT_GAP_BYTES);
        let bytes = &self.bytes[begin..][..header.msg_len as usize];
        let control = &self.controls[place];
        let is_train = header.msg_hdr.msg_controllen > 0 && control[1] == message_kind(UDP_GRO);
        let segment_bytes = if is_train { read_segment(control[2]) } else { bytes.len() };
        Datagram { from: read_name(&self.names[place]), bytes, segment_bytes }
    }

    /// All of them, in the order received.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        (0..self.filled).map(|place| self.get(place))
    }

    pub(crate) fn clear(&mut self) {
        for header in &mut self.headers[..self.filled] {
            header.msg_hdr.msg_namelen = NAME_BYTES;
            header.msg_hdr.msg_controllen = size_of::<[u64; CONTROL_WORDS]>() as _;
        }
        self.filled = 0;
    }
}

/// What to send as one datagram, or as a train of them that the kernel cuts apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    /// Where to; nothing if the socket is connected.
    pub(crate) to: Option<SocketAddrV4>,
    /// Goes before each segment.
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
    /// How many bytes of the body each datagram of a train takes; the length of the body if it is
    /// no train.
    pub(crate) segment_bytes: usize,
    /// How many of the first bytes of each segment are left out.
    pub(crate) skip: usize,
}

/// Sends by the batch, with lists that are made once.
#[derive(Default)]
pub(crate) struct Sender {
    parts: Vec<iovec>,
    ranges: Vec<(usize, usize)>,
}

impl Sender {
    /// Sends the first [`CALL_DATAGRAMS`] of `messages` by one socket, in order, without waiting.
    /// One that can't be sent is left out, with its place and error given to `failed`.
    pub(crate) fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        messages: impl Iterator<Item = Outgoing<'a>>,
        failed: impl FnMut(usize, io::Error),
    ) {
        let mut names = [const { MaybeUninit::<sockaddr_in>::uninit() }; CALL_DATAGRAMS];
        let mut controls = [const { MaybeUninit::<[u64; 3]>::uninit() }; CALL_DATAGRAMS];
        let mut headers = [const { MaybeUninit::<mmsghdr>::uninit() }; CALL_DATAGRAMS];
        self.parts.clear();
        self.ranges.clear();
        for (i, message) in messages.take(CALL_DATAGRAMS).enumerate() {
            let begin = self.parts.len();
            for segment in message.body.chunks(message.segment_bytes.max(1)) {
                if !message.head.is_empty() {
                    self.parts.push(part(message.head));
                }
                self.parts.push(part(&segment[message.skip..]));
            }
            self.ranges.push((begin, self.parts.len() - begin));
            let mut header = empty_header();
            if let Some(to) = message.to {
                header.msg_name = names[i].write(write_name(to)) as *mut sockaddr_in as *mut c_void;
                header.msg_namelen = NAME_BYTES;
            }
            if message.segment_bytes < message.body.len() {
                let bytes = message.head.len() + message.segment_bytes - message.skip;
                // SAFETY: only numbers.
                let (used, room) = unsafe { (libc::CMSG_LEN(2), libc::CMSG_SPACE(2)) };
                let words = [u64::from(used), message_kind(UDP_SEGMENT), segment_value(bytes)];
                header.msg_control = controls[i].write(words).as_mut_ptr().cast();
                header.msg_controllen = room as _;
            }
            headers[i].write(mmsghdr { msg_hdr: header, msg_len: 0 });
        }
        for (header, (begin, count)) in headers.iter_mut().zip(&self.ranges) {
            // SAFETY: written above, one for each range.
            let header = unsafe { header.assume_init_mut() };
            header.msg_hdr.msg_iov = self.parts[*begin..].as_mut_ptr();
            header.msg_hdr.msg_iovlen = *count as _;
        }
        send_all(socket, &mut headers[..self.ranges.len()], failed);
    }
}

/// Each of `headers` must be written and point to what outlives the call.
fn send_all(
    socket: BorrowedFd<'_>,
    headers: &mut [MaybeUninit<mmsghdr>],
    mut failed: impl FnMut(usize, io::Error),
) {
    let mut done = 0;
    while done < headers.len() {
        // SAFETY: the headers are written, each pointing to a name, a control message and parts
        // that outlive the call, as do the borrowed bytes; sendmmsg only reads those.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers[done..].as_mut_ptr().cast(),
                (headers.len() - done) as c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        if let Ok(sent @ 1..) = usize::try_from(sent) {
            done += sent;
            continue;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            failed(done, error);
            done += 1;
        }
    }
}

/// A new network namespace, in which nobody is yet.
pub(crate) fn new_network() -> io::Result<OwnedFd> {
    let make = || {
        // SAFETY: no pointers. It moves this thread only, which ends.
        check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
        current_network()
    };
    std::thread::spawn(make).join().expect("it doesn't panic")
}

/// The network namespace that this thread is in.
pub(crate) fn current_network() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// Moves this thread.
pub(crate) fn enter_network(network: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) })?;
    Ok(())
}

/// Has a child start in a network namespace, which must stay open until then.
pub(crate) fn start_inside(command: &mut Command, network: &OwnedFd) {
    let network = network.as_raw_fd();
    let before = move || {
        // SAFETY: no pointers; a descriptor that was closed meanwhile is an error.
        check(unsafe { libc::setns(network, libc::CLONE_NEWNET) })?;
        Ok(())
    };
    // SAFETY: between fork and exec it makes a system call and nothing else: no heap, no locks.
    unsafe { command.pre_exec(before) };
}

/// Has an interface of the namespace that this thread is in merge what it receives (GRO).
///
/// A veth does so only if the other end does no TSO.
pub(crate) fn merge_received(interface: &str) -> io::Result<()> {
    const ETHTOOL_SGRO: u32 = 0x2c;
    const ETHTOOL_STSO: u32 = 0x1f;
    set_feature(interface, ETHTOOL_STSO, false)?;
    set_feature(interface, ETHTOOL_SGRO, true)
}

fn set_feature(interface: &str, command: u32, on: bool) -> io::Result<()> {
    /// `struct ethtool_value`.
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    let mut value = Value { command, data: on.into() };
    // SAFETY: all zeros is a request without name and data.
    let mut request: libc::ifreq = unsafe { zeroed() };
    // One less, so that a zero ends the name.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(interface.bytes()) {
        *to = from as _;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: the request and the value that it points to outlive the call, and are what these
    // commands read.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) })?;
    Ok(())
}

/// A file that is in memory only, and goes away with its descriptor.
pub(crate) fn memory_file(bytes: &[u8]) -> io::Result<File> {
    // SAFETY: the name ends in a zero; the descriptor is new and nobody else's.
    let file = unsafe {
        OwnedFd::from_raw_fd(check(libc::memfd_create(c"bench".as_ptr(), libc::MFD_CLOEXEC))?)
    };
    let mut file = File::from(file);
    file.write_all(bytes)?;
    Ok(file)
}

/// Asks for both buffers of a socket to be `bytes` long: past the system's limit if this process
/// may, else up to it.
pub(crate) fn set_buffers(socket: BorrowedFd<'_>, bytes: c_int) -> io::Result<()> {
    let pairs = [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)];
    for (forced, plain) in pairs {
        set_option(socket, libc::SOL_SOCKET, forced, bytes)
            .or_else(|_| set_option(socket, libc::SOL_SOCKET, plain, bytes))?;
    }
    Ok(())
}

/// Has a socket get trains of datagrams in one piece.
pub(crate) fn set_merging(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_UDP, UDP_GRO, 1)
}

fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let (pointer, bytes) = ((&raw const value).cast(), size_of::<c_int>() as libc::socklen_t);
    // SAFETY: the pointer is to a c_int that outlives the call, and the length is its length.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, pointer, bytes) })?;
    Ok(())
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

const NAME_BYTES: u32 = size_of::<sockaddr_in>() as u32;
const UDP_SEGMENT: c_int = libc::UDP_SEGMENT;
const UDP_GRO: c_int = libc::UDP_GRO;

fn empty_header() -> msghdr {
    // SAFETY: all zeros is a header without name, data, control messages and flags.
    unsafe { zeroed() }
}

fn part(bytes: &[u8]) -> iovec {
    iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// Level and type of a control message, as they stand behind its length.
fn message_kind(kind: c_int) -> u64 {
    let ([l0, l1, l2, l3], [k0, k1, k2, k3]) = (libc::SOL_UDP.to_ne_bytes(), kind.to_ne_bytes());
    u64::from_ne_bytes([l0, l1, l2, l3, k0, k1, k2, k3])
}

/// The value of UDP_SEGMENT: 16 bits.
fn segment_value(bytes: usize) -> u64 {
    let [b0, b1] = (bytes as u16).to_ne_bytes();
    u64::from_ne_bytes([b0, b1, 0, 0, 0, 0, 0, 0])
}

/// The value of UDP_GRO: 32 bits.
fn read_segment(word: u64) -> usize {
    let [b0, b1, b2, b3, ..] = word.to_ne_bytes();
    u32::from_ne_bytes([b0, b1, b2, b3]) as usize
}

fn write_name(address: SocketAddrV4) -> sockaddr_in {
    sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

fn read_name(name: &sockaddr_in) -> SocketAddrV4 {
    let ip = Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
    SocketAddrV4::new(ip, u16::from_be(name.sin_port))
}
