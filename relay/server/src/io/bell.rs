//! How one thread wakes another out of its wait.

use super::sys;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// A bell that one thread waits for and any thread rings. Rung twice before it is answered, it
/// rings once.
#[derive(Debug)]
pub(crate) struct Bell {
    event: File,
    rung: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { event: File::from(sys::eventfd()?), rung: AtomicBool::new(false) })
    }

    /// Wakes the other thread. What was written before is visible to it after [`Self::answer`].
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It fails only if the counter is full: then the bell is ringing already.
            let _ = (&self.event).write(&1_u64.to_ne_bytes());
        }
    }

    /// Silences the bell. Look for work after this, not before: who rings from now on wakes the
    /// thread again.
    pub(crate) fn answer(&self) {
        // It fails only if nobody rang.
        let _ = (&self.event).read(&mut [0; 8]);
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
