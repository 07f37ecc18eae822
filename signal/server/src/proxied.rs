//! Connections of proxies that say by a PROXY header who their client is, before anything else.

use heliograph_base::Sample;
use signal_core::{BadProxyHeader, ProxyHeader};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Why a connection is closed that had to begin with a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// What came is no such header.
    Bad(BadProxyHeader),
    /// It was closed or broke in the middle of one.
    Cut,
    /// It came too slowly.
    Late,
    /// It was closed before anything came, as by who only looks whether somebody listens.
    Probe,
}

/// Reads the header, and not a byte behind it. To be called under a timeout.
pub(crate) async fn read_header(
    stream: &mut TcpStream,
    bytes_max: usize,
) -> Result<ProxyHeader, NoHeader> {
    let (mut bytes, mut read) = (vec![0; bytes_max], 0);
    loop {
        let unread = &mut bytes[read..];
        let ended = if read == 0 { NoHeader::Probe } else { NoHeader::Cut };
        let came = stream.peek(unread).await.unwrap_or(0);
        if came == 0 {
            return Err(ended);
        }
        let header = ProxyHeader::read(&bytes[..read + came], bytes_max);
        let header = header.map_err(NoHeader::Bad)?;
        // Until it is whole, all that came is part of it.
        let end = header.map_or(read + came, |header| header.bytes);
        stream.read_exact(&mut bytes[read..end]).await.map_err(|_| ended)?;
        match header {
            Some(header) => return Ok(header),
            None => read = end,
        }
    }
}

/// Counts of connections that were closed for want of a header.
#[derive(Debug, Default)]
pub(crate) struct Failures([AtomicU64; LABELS.len()]);

const LABELS: [(NoHeader, &str); 5] = [
    (NoHeader::Bad(BadProxyHeader::Missing), "missing"),
    (NoHeader::Bad(BadProxyHeader::Malformed), "malformed"),
    (NoHeader::Bad(BadProxyHeader::TooLong), "too_long"),
    (NoHeader::Cut, "cut"),
    (NoHeader::Late, "late"),
];

const HELP: &str = "Connections of trusted proxies closed for want of a good PROXY header.";

impl Failures {
    /// Counts one; who only looked whether we listen has done nothing wrong.
    pub(crate) fn count(&self, why: NoHeader) {
        if let Some(index) = LABELS.iter().position(|(label, _)| *label == why) {
            self.0[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn samples(&self) -> impl Iterator<Item = Sample> {
        LABELS.iter().zip(&self.0).map(|((_, label), counter)| {
            let count = counter.load(Ordering::Relaxed);
            Sample::counter("http_proxy_header_failures", HELP, count).labelled("why", label)
        })
    }
}
