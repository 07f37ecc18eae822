//! The system calls that std doesn't have. The one file of this package with `unsafe`.

#![expect(unsafe_code, reason = "calls into libc; everything it gives out is safe to use")]

use libc::c_int;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Gives the calling thread one CPU.
///
/// # Errors
/// What the system says, such as that there is no such CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: all zeros is the empty set, and CPU_SET checks the bounds.
    let only = unsafe {
        let mut only: libc::cpu_set_t = zeroed();
        libc::CPU_SET(cpu, &mut only);
        only
    };
    // SAFETY: the set outlives the call and is as long as said. 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &only) })?;
    Ok(())
}

/// Puts the calling thread before all others of its CPU, but those that were put there too. What
/// it starts inherits that.
///
/// # Errors
/// What the system says, such as that this takes root.
pub fn go_first() -> io::Result<()> {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the struct outlives the call. 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &lowest) })?;
    Ok(())
}

/// Has a child get one CPU, and end when this process ends however it does.
pub fn confine(command: &mut Command, cpu: usize) {
    let before = move || {
        pin(cpu)?;
        // SAFETY: no pointers.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls and nothing else: no heap, no locks.
    unsafe { command.pre_exec(before) };
}

/// Raises this process's limit of open files as far as it may go by itself, and says how far. What
/// it starts inherits that.
///
/// # Errors
/// What the system says.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct outlives the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the struct outlives the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
