//! The system calls that std doesn't have. The one file of this package with `unsafe`.

#![expect(unsafe_code, reason = "calls into libc; everything it gives out is safe to use")]

use libc::c_int;
use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd as _;

/// Moves the calling thread into a network namespace, for good.
pub(crate) fn enter(namespace: &File) -> io::Result<()> {
    // SAFETY: no pointers; the descriptor is open.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })
}

/// Makes a TAP interface in the namespace of the calling thread: what is read and written is whole
/// Ethernet frames. It goes with the file.
pub(crate) fn tap(name: &str) -> io::Result<File> {
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: all zeros is a request without name and flags.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let room = request.ifr_name.len() - 1;
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes().take(room)) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    // SAFETY: the request outlives the call, and is what TUNSETIFF takes.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    Ok(file)
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
