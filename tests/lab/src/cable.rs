//! A cable between two namespaces that delays and loses: two TAP interfaces and a thread for each
//! direction between them. Kernels without netem have nothing like it.

use crate::line::{Impairment, Line};
use crate::namespace::Namespace;
use crate::sys;
use anyhow::Result;
use heliograph_base::{Clock, Time};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Frames on the way in one direction; what comes on top is lost. At 50 ms it is 1 Gbit/s.
const FRAMES_MAX: usize = 4096;

/// The largest frame of an interface with an MTU of 1500: 14 bytes of header, and room.
const FRAME_BYTES_MAX: usize = 2048;

#[derive(Debug)]
pub(crate) struct Cable {
    ends: [(Namespace, String); 2],
    worse: Arc<Mutex<Impairment>>,
    threads: Vec<JoinHandle<()>>,
}

impl Cable {
    /// Makes an interface in each namespace, and what is between.
    pub(crate) fn lay(
        a: (&Namespace, &str),
        b: (&Namespace, &str),
        worse: Impairment,
    ) -> Result<Self> {
        let tap = |(space, name): (&Namespace, &str)| space.enter(|| sys::tap(name));
        let (one, other) = (tap(a)??, tap(b)??);
        let ends = [a, b].map(|(space, name)| (space.clone(), name.to_owned()));
        let worse = Arc::new(Mutex::new(worse));
        let mut cable = Self { ends, worse, threads: Vec::new() };
        cable.carry(one.try_clone()?, other.try_clone()?, 1);
        cable.carry(other, one, 2);
        Ok(cable)
    }

    /// Is as bad as this from now on.
    pub(crate) fn set(&self, worse: Impairment) {
        *self.worse.lock().unwrap_or_else(PoisonError::into_inner) = worse;
    }

    /// Carries frames in one direction.
    fn carry(&mut self, from: File, to: File, seed: u64) {
        let (sender, receiver) = sync_channel(FRAMES_MAX);
        let (clock, worse) = (Clock::start(), Arc::clone(&self.worse));
        self.threads.push(thread::spawn(move || take(from, clock, seed, &worse, &sender)));
        self.threads.push(thread::spawn(move || deliver(to, clock, &receiver)));
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // Reading from an interface that is gone is an error, by which the threads end.
        for (space, name) in &self.ends {
            let _ = space.ip(&[&format!("link del {name}")]);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

type Frame = (Time, Vec<u8>);

/// Takes frames from an interface, and decides when they arrive.
fn take(
    mut from: File,
    clock: Clock,
    seed: u64,
    worse: &Mutex<Impairment>,
    to: &SyncSender<Frame>,
) {
    let mut line = Line::new(seed);
    let mut buffer = [0; FRAME_BYTES_MAX];
    while let Ok(bytes) = from.read(&mut buffer) {
        let worse = *worse.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrives) = line.send(clock.now().time, bytes, &worse) {
            // A full queue loses, as on every line.
            let _ = to.try_send((arrives, buffer[..bytes].to_vec()));
        }
    }
}

fn deliver(mut to: File, clock: Clock, frames: &Receiver<Frame>) {
    for (arrives, frame) in frames {
        thread::sleep(arrives.since(clock.now().time));
        // An interface that isn't up takes none.
        let _ = to.write(&frame);
    }
}
