//! A client's data connection and a peer connection joined: bytes of one go to the other.
//! RFC 6062 §5.4.

use super::connection::End;
use super::metrics::{Path, StreamCounters};
use super::peers::Joint;
use crate::config::StreamLimits;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until};

/// Passes bytes on until both sides have ended, one of them breaks, nothing comes for long, or the
/// allocation is gone. `begun` is what the client sent before.
pub(super) async fn splice(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    begun: &[u8],
    joint: Joint,
    limits: &StreamLimits,
    counters: &StreamCounters,
) -> End {
    let Joint { mut peer, mut gone } = joint;
    let (mut peer_reader, mut peer_writer) = peer.stream.split();
    let (active, bytes) = (Activity::new(), limits.splice_bytes);
    let up = async {
        peer_writer.write_all(begun).await?;
        counters.spliced(Path::ClientToPeer, begun.len());
        let passed = |bytes| counters.spliced(Path::ClientToPeer, bytes);
        pass(reader, &mut peer_writer, bytes, &active, passed).await
    };
    let passed = |bytes| counters.spliced(Path::PeerToClient, bytes);
    let down = pass(&mut peer_reader, writer, bytes, &active, passed);
    tokio::select! {
        both = async { tokio::try_join!(up, down) } => match both {
            Ok(_) => End::Closed,
            Err(_) => End::Broken,
        },
        _ = gone.changed() => End::Expired,
        () = active.ceased(limits.idle_timeout) => End::Idle,
    }
}

/// Passes bytes one way, and their end too: the other way may go on.
async fn pass(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    buffer_bytes: usize,
    active: &Activity,
    passed: impl Fn(usize),
) -> io::Result<()> {
    let mut buffer = vec![0; buffer_bytes];
    loop {
        let read = reader.read(&mut buffer).await?;
        if read == 0 {
            return writer.shutdown().await;
        }
        writer.write_all(&buffer[..read]).await?;
        writer.flush().await?;
        active.note();
        passed(read);
    }
}

/// When bytes last went either way.
struct Activity {
    begin: Instant,
    last_ms: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self { begin: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    fn note(&self) {
        let elapsed_ms = self.begin.elapsed().as_millis() as u64;
        self.last_ms.store(elapsed_ms, Ordering::Relaxed);
    }

    /// Waits until nothing went for so long.
    async fn ceased(&self, limit: Duration) {
        loop {
            let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let due = self.begin + last + limit;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}
