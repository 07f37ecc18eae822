//! What runs beside, on the page's event loop.

use futures_util::future::{AbortHandle, Abortable};
use js_sys::futures::spawn_local;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Runs a future beside the one that calls.
pub(crate) fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    let (give, result) = oneshot::channel();
    let (abort, registration) = AbortHandle::new_pair();
    let work = Abortable::new(future, registration);
    spawn_local(async move {
        if let Ok(value) = work.await {
            // Nobody may want to know.
            let _ = give.send(value);
        }
    });
    Task { result, abort: Some(abort) }
}

/// Runs a last word that nobody waits for.
pub(crate) fn spawn_last(future: impl Future<Output = ()> + 'static) {
    spawn_local(future);
}

/// What runs beside. As a future it gives the result; none if it was ended. Dropped, it is ended.
#[derive(Debug)]
pub(crate) struct Task<T> {
    result: oneshot::Receiver<T>,
    abort: Option<AbortHandle>,
}

impl<T> Task<T> {
    /// Lets it run to its own end.
    pub(crate) fn detach(mut self) {
        self.abort = None;
    }
}

impl<T> Future for Task<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.result).poll(cx).map(Result::ok)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}
