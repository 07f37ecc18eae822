//! The keys that a service publishes: asked for now and then and when a token names an unknown one.
//! While it doesn't answer, the last good ones stay in use.

use super::Failures;
use super::config::KeyUrl;
use super::keys::Keys;
use crate::Outgoing;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use heliograph_base::{Clock, Time};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::{info, warn};

/// A service and what it last said.
#[derive(Debug)]
pub(crate) struct Remote {
    config: KeyUrl,
    current: RwLock<Option<Arc<Keys>>>,
    /// When it was asked last. Locked while it is: who comes meanwhile waits for the same answer.
    asked: Mutex<Option<Time>>,
    failures: Failures,
}

impl Remote {
    /// Begins to ask, in a task that ends with the last owner.
    pub(crate) fn start(config: KeyUrl, clock: Clock) -> Arc<Self> {
        let remote = Arc::new(Self::new(config));
        tokio::spawn(keep_fresh(Arc::downgrade(&remote), clock));
        remote
    }

    pub(super) fn new(config: KeyUrl) -> Self {
        let (current, asked) = (RwLock::default(), Mutex::default());
        Self { config, current, asked, failures: Failures::default() }
    }

    /// The keys, if it has ever said which they are.
    pub(crate) fn keys(&self) -> Option<Arc<Keys>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks, if that wasn't done a moment ago, and waits for the answer.
    pub(crate) async fn refresh(self: &Arc<Self>, now: Time) {
        let remote = self.clone();
        // A task, since who waits may go away: others wait for the answer too.
        let asking = tokio::spawn(async move {
            let mut asked = remote.asked.lock().await;
            if asked.is_none_or(|asked| now.since(asked) >= remote.config.pause) {
                *asked = Some(now);
                remote.ask().await;
            }
        });
        let _ = asking.await;
    }

    async fn ask(&self) {
        let KeyUrl { url, client, timeout, answer_bytes_max, .. } = &self.config;
        let json = HeaderValue::from_static("application/json");
        let outgoing = Outgoing {
            method: Method::GET,
            url: url.clone(),
            headers: HeaderMap::from_iter([(header::ACCEPT, json)]),
            body: Bytes::new(),
            timeout: *timeout,
            answer_bytes_max: *answer_bytes_max,
        };
        let keys = match client.send(outgoing).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                Keys::from_jwks(&answer.body, false).map_err(|bad| bad.to_string())
            }
            Ok(answer) => Err(format!("it answered {}", answer.status)),
            Err(unanswered) => Err(unanswered.to_string()),
        };
        match keys {
            Ok(keys) => {
                let keys = Some(Arc::new(keys));
                let before = std::mem::replace(
                    &mut *self.current.write().unwrap_or_else(PoisonError::into_inner),
                    keys,
                );
                if before.is_none() {
                    info!(?url, "the keys of tokens are known");
                }
            }
            Err(why) => {
                if self.failures.count() {
                    warn!(?url, why, "can't get the keys of tokens: those known stay in use");
                }
            }
        }
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.all()
    }
}

async fn keep_fresh(remote: Weak<Remote>, clock: Clock) {
    loop {
        let Some(there) = remote.upgrade() else { return };
        let interval = match there.keys() {
            Some(_) => there.config.interval,
            None => there.config.pause,
        };
        there.refresh(clock.now().time).await;
        drop(there);
        sleep(interval).await;
    }
}
