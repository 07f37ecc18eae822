//! The runtime that webrtc's driver runs on: tokio, with remedies for relayed data and for the
//! first message.
//!
//! webrtc 0.21.1 flushes its writes before it processes what came through TURN, so the answer to
//! relayed data stays until the driver's next timer, 200 ms later: channels open after seconds, and
//! the round trip takes 200 ms. When each real sleep is followed by a few that end at once, the
//! driver makes that many passes more and flushes what it has.
//!
//! It also reads a burst of datagrams before it takes note of what the first of them has done. If
//! that one completes the SCTP handshake, a message in the next one finds no channel yet and is
//! lost, though it was acknowledged. So until channels are open, each pass reads one datagram.
//!
//! Its sockets also keep back the checks of strangers (see there).

use super::now;
use super::strangers::Strangers;
use std::cell::Cell;
use std::future::{Future, ready};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::task_local;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Passes after each real sleep. With 2, opening a relayed channel still waits for two timers.
const EXTRA_PASSES: u8 = 3;

task_local! {
    /// How many passes the driver that runs in this task has left. Other tasks sleep as they ask.
    static PASSES: Cell<u8>;
}

/// Tokio, but the sleeps of a driver's task end early now and then. One for each connection.
#[derive(Clone, Debug, Default)]
pub(super) struct KickRuntime {
    /// Whether the connection's channels are open.
    pub(super) is_open: Arc<AtomicBool>,
    pub(super) strangers: Arc<Strangers>,
}

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
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(SteppedSocket { inner, runtime: self.clone(), rests: AtomicBool::new(false) }))
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

/// A socket that is read one datagram at a time until the connection is open.
#[derive(Debug)]
struct SteppedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    runtime: KickRuntime,
    /// Whether a datagram was read, and the driver hasn't asked for the next one since.
    rests: AtomicBool,
}

impl SteppedSocket {
    /// Reads what ICE is to see. The driver has one buffer: for a datagram, or a burst of one
    /// sender's.
    fn poll_let_in(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let received = self.inner.poll_recv(cx, bufs, meta);
            let (Poll::Ready(Ok(1)), [buf, ..], [meta, ..]) = (&received, &*bufs, &*meta) else {
                return received;
            };
            let datagram = buf.get(..meta.len).unwrap_or_default();
            if self.runtime.strangers.let_in(meta.addr, datagram, now()) {
                return received;
            }
            tracing::trace!(from = %meta.addr, "a stranger's check is kept back");
        }
    }
}

impl AsyncUdpSocket for SteppedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.inner.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.runtime.is_open.load(Ordering::Relaxed) {
            return self.poll_let_in(cx, bufs, meta);
        }
        if self.rests.swap(false, Ordering::Relaxed) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let received = self.poll_let_in(cx, bufs, meta);
        self.rests.store(received.is_ready(), Ordering::Relaxed);
        received
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime(is_open: bool) -> KickRuntime {
        KickRuntime { is_open: Arc::new(AtomicBool::new(is_open)), ..KickRuntime::default() }
    }

    #[tokio::test]
    async fn until_channels_are_open_a_burst_of_datagrams_is_read_one_by_one() {
        for (is_open, expected) in [(false, [true, false, true]), (true, [true, true, true])] {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            let socket = runtime(is_open).wrap_udp_socket(socket).unwrap();
            for _ in 0..3 {
                socket.send_to(b"x", socket.local_addr().unwrap()).await.unwrap();
            }
            let mut bytes = [0; 9];
            let mut meta = [RecvMeta::default()];
            let mut receive = |cx: &mut Context<'_>| {
                socket.poll_recv(cx, &mut [IoSliceMut::new(&mut bytes)], &mut meta)
            };
            // Until tokio has seen that there is something to read.
            let _ = poll_fn(&mut receive).await.unwrap();
            let mut cx = Context::from_waker(Waker::noop());
            let rest = [receive(&mut cx).is_ready(), receive(&mut cx).is_ready()];
            assert_eq!([true, rest[0], rest[1]], expected);
        }
    }
    use futures_util::FutureExt;
    use std::future::poll_fn;
    use std::task::Waker;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn each_real_sleep_of_a_driver_is_followed_by_passes_without_one() {
        let (report, passes) = oneshot::channel();
        runtime(false).spawn(Box::pin(async move {
            let sleep = || runtime(false).sleep(Duration::from_secs(3600)).now_or_never().is_some();
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
            assert!(runtime(false).sleep(Duration::from_secs(3600)).now_or_never().is_none());
        }
    }
}
