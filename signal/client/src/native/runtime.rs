//! The runtime that webrtc's driver runs on: tokio, with a remedy for relayed data.
//!
//! webrtc 0.21.1 flushes its writes before it processes what came through TURN, so the answer to
//! relayed data stays until the driver's next timer, 200 ms later: channels open after seconds, and
//! the round trip takes 200 ms. When each real sleep is followed by a few that end at once, the
//! driver makes that many passes more and flushes what it has.

use std::cell::Cell;
use std::future::{Future, ready};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task_local;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Passes after each real sleep. With 2, opening a relayed channel still waits for two timers.
const EXTRA_PASSES: u8 = 3;

task_local! {
    /// How many passes the driver that runs in this task has left. Other tasks sleep as they ask.
    static PASSES: Cell<u8>;
}

/// Tokio, but the sleeps of a driver's task end early now and then.
#[derive(Debug)]
pub(super) struct KickRuntime;

impl Runtime for KickRuntime {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(Box::pin(PASSES.scope(Cell::new(0), future)))
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        let kick = PASSES.try_with(|passes| {
            let left = passes.get();
            passes.set(left.checked_sub(1).unwrap_or(EXTRA_PASSES));
            left > 0
        });
        if kick == Ok(true) { Box::pin(ready(())) } else { TokioRuntime.sleep(duration) }
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn wrap_tcp_listener(&self, listener: TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, to: SocketAddr) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(to)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { TokioRuntime.resolve_host(host).await })
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Boxed<'static, ()> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "tokio, kicked"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn each_real_sleep_of_a_driver_is_followed_by_passes_without_one() {
        let (report, passes) = oneshot::channel();
        KickRuntime.spawn(Box::pin(async move {
            let sleep = || KickRuntime.sleep(Duration::from_secs(3600)).now_or_never().is_some();
            let _ = report.send((0..10).map(|_| sleep()).collect::<Vec<bool>>());
        }));
        let (real, kick) = (false, true);
        assert_eq!(
            passes.await.unwrap(),
            [real, kick, kick, kick, real, kick, kick, kick, real, kick]
        );
    }

    #[tokio::test]
    async fn everybody_else_sleeps_as_asked() {
        for _ in 0..10 {
            assert!(KickRuntime.sleep(Duration::from_secs(3600)).now_or_never().is_none());
        }
    }
}
