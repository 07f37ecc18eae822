//! Threads and sockets around `relay-core`: a STUN/TURN server that runs.
//!
//! [`Relay::start`] binds every listening address once for each worker (`SO_REUSEPORT`), so that
//! the kernel brings all datagrams of one client to one worker, which has that client's relay ports
//! too. A worker is one pinned thread that shares nothing: it receives in batches (`io`), asks the
//! core (`engine`), and sends in batches. Only packets between allocations of two workers cross
//! threads, by bounded queues (`handover`), and an operator's orders (`orders`).
//!
//! Clients that come by TCP or TLS run on tokio beside the workers (`streams`): each connection
//! belongs to one worker and exchanges whole messages with it, by bounded queues.
//!
//! No STUN or TURN is understood here: that is the core's.

mod config;
mod engine;
mod error;
mod handover;
mod io;
mod ledger;
mod listen;
mod metrics;
mod moderation;
mod orders;
mod ports;
mod relay;
mod shelf;
mod socket;
mod streams;
mod tcp_stock;
mod worker;

pub use config::{HttpsShare, Limits, RelayConfig, StreamConfig, StreamLimits};
pub use error::{Note, StartError, WorkerFailed};
pub use listen::ListenerAddress;
pub use orders::Busy;
pub use relay::Relay;
pub use relay_core;
pub use rustls;
pub use streams::{HttpsStream, TlsStream};
