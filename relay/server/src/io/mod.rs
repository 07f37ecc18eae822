//! Sockets by the batch, readiness, wake-ups: what the worker needs of the kernel.
//!
//! No STUN or TURN here. The system calls themselves, and all `unsafe`, are in [`sys`].

mod bell;
mod inbox;
mod outbox;
mod poller;
pub(crate) mod sys;
mod train;

pub(crate) use bell::Bell;
pub(crate) use inbox::Inbox;
pub(crate) use outbox::{Outbox, SendFailure, SendFailures};
pub(crate) use poller::{Poller, Ready};
