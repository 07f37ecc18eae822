//! Bound relay ports that are kept for a later Allocate, which may come to any worker.

use crate::ports::Port;
use relay_core::ReservationToken;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The sockets of reservations. The core bounds how many there are, says when one is laid down and
/// who takes it up; each is taken once.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    ports: Mutex<HashMap<ReservationToken, Port>>,
}

impl Shelf {
    pub(crate) fn put(&self, token: ReservationToken, port: Port) {
        self.lock().insert(token, port);
    }

    pub(crate) fn take(&self, token: ReservationToken) -> Option<Port> {
        self.lock().remove(&token)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ReservationToken, Port>> {
        // Nothing panics while it is held.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
