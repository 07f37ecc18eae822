//! What a service is told of, and the limits of that: each with its default, unit and reason.

use super::HookEvent;
use crate::{HttpClient, OutgoingUrl};
use heliograph_base::Secret;
use std::time::Duration;

/// How a service of the operator's own is told what happens in rooms.
#[derive(Clone, Debug)]
pub struct HookConfig {
    /// Where.
    pub url: OutgoingUrl,
    /// What tells it.
    pub client: HttpClient,
    /// Signs what it is told, so that it knows who tells it; none: it isn't signed.
    pub secret: Option<Secret>,
    /// Of what.
    pub events: Vec<HookEvent>,
    /// Whether it is told the metadata of who joins.
    pub metadata: bool,
    /// How many events may wait, up to 1.5 KiB each with the largest metadata. With more the newest
    /// are dropped, and the service is told how many.
    ///
    /// 32,768: all joins of a quarter of a minute at the highest rate. Each lane has an equal part.
    pub waiting_max: usize,
    /// How many deliveries may be under way at once; all events of a room go by the same of so
    /// many lanes.
    ///
    /// 8: each waits for the service's answer to one before it begins the next.
    pub lanes: usize,
    /// The most events of one delivery.
    ///
    /// 100: within 130 KiB with the largest metadata.
    pub batch_max: usize,
    /// How long one attempt may take.
    ///
    /// 10 s: a service that first writes all down answers within one.
    pub timeout: Duration,
    /// The largest answer, in bytes; nothing in it counts. One that is larger is a failed attempt.
    ///
    /// 64 KiB: pages that say "OK" are smaller.
    pub answer_bytes_max: usize,
    /// How often a delivery is tried. Then its events are dropped, and the service is told how
    /// many.
    ///
    /// 10: with the pauses in between at least 2 minutes, which outlasts a restart.
    pub attempts_max: u32,
    /// The pause after the first attempt; each further one is twice as long. Half of each pause is
    /// chosen at random.
    ///
    /// 1 s.
    pub pause: Duration,
    /// The longest pause.
    ///
    /// 60 s: so much later than it could a service gets what waits.
    pub pause_max: Duration,
    /// How long an event may wait for its first attempt. Then it is dropped, and the service is
    /// told.
    ///
    /// 10 min: after a longer fault a service learns sooner what is so now than what was.
    pub age_max: Duration,
    /// How long the end of the server may be held up by what waits. Then that is lost.
    ///
    /// 5 s: as long as sessions may take to be closed.
    pub shutdown_max: Duration,
}

impl HookConfig {
    /// The defaults with this URL: all events, unsigned.
    #[must_use]
    pub fn new(url: OutgoingUrl, client: HttpClient) -> Self {
        Self {
            url,
            client,
            secret: None,
            events: HookEvent::ALL.to_vec(),
            metadata: false,
            waiting_max: 1 << 15,
            lanes: 8,
            batch_max: 100,
            timeout: Duration::from_secs(10),
            answer_bytes_max: 64 << 10,
            attempts_max: 10,
            pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
            age_max: Duration::from_secs(600),
            shutdown_max: Duration::from_secs(5),
        }
    }

    /// The pause after so many failed attempts, where `dice` is any number.
    pub(super) fn pause_after(&self, attempts: u32, dice: u64) -> Duration {
        let doubled = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.pause.saturating_mul(doubled).min(self.pause_max);
        let half = whole / 2;
        half + half.mul_f64(dice as f64 / u64::MAX as f64)
    }
}
