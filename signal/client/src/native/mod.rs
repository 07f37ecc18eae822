//! What a room runs on where there are sockets and threads: tokio, and crate `webrtc`.
//!
//! `web` has the same names for browsers; nothing else in this crate knows which of the two it is.

mod addresses;
mod channel;
mod config;
mod connection;
mod http;
mod network;
mod runtime;
mod socket;
mod strangers;
mod stream;

pub(crate) use channel::DataChannel;
pub(crate) use connection::{Connection, Connector};
pub(crate) use http::{Answer, Http};
pub(crate) use network::Network;
pub(crate) use socket::Socket;

use heliograph_base::Time;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until as sleep_until_instant};

/// When this process asked for the time first.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A future that a task or a struct holds.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The time, counted from when it was asked for first.
pub(crate) fn now() -> Time {
    Time::after_start(START.elapsed())
}

/// Waits until then.
pub(crate) async fn sleep_until(time: Time) {
    sleep_until_instant(*START + time.since_start()).await;
}

/// Good randomness.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("without it there are no keys for DTLS either");
    bytes
}

/// Runs a future beside the one that calls.
pub(crate) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    Task { handle: Some(tokio::spawn(future)) }
}

/// Runs a last word that nobody waits for, unless the runtime has ended before.
pub(crate) fn spawn_last(future: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        drop(runtime.spawn(future));
    }
}

/// What runs beside. As a future it gives the result; none if it was ended or panicked. Dropped, it
/// is ended.
#[derive(Debug)]
pub(crate) struct Task<T> {
    handle: Option<JoinHandle<T>>,
}

impl<T> Task<T> {
    /// Lets it run to its own end.
    pub(crate) fn detach(mut self) {
        self.handle = None;
    }
}

impl<T> Future for Task<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match &mut self.handle {
            Some(handle) => Pin::new(handle).poll(cx).map(Result::ok),
            None => Poll::Ready(None),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }
}
