//! A service of the operator's own that decides who is let in.
//!
//! It is asked by `POST` with a JSON object and answers with one. What is no good answer counts as
//! none, and then nobody is let in.

use super::config::{GRANT_TIME_MAX, REFUSAL_BYTES_MAX, SUBJECT_BYTES_MAX, WebhookConfig};
use super::{Admitted, Denied, Failures, Question, Who};
use crate::http_client::{Incoming, Outgoing, Unanswered};
use axum::body::Bytes;
use axum::http::StatusCode;
use heliograph_base::{Now, Time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use signal_core::protocol::ErrorCode;
use signal_core::{Grant, Metadata, PeerId, Role, Token};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tracing::warn;

/// Asks the service.
#[derive(Debug)]
pub(crate) struct Webhook {
    config: WebhookConfig,
    in_flight: Semaphore,
    cache: Mutex<HashMap<[u8; 32], Cached>>,
    failures: Failures,
}

/// An answer that is remembered.
#[derive(Clone, Debug)]
struct Cached {
    until: Time,
    outcome: Result<Admitted, Denied>,
}

/// What the service is asked.
#[derive(Serialize)]
struct Body<'a> {
    room: &'a str,
    address: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    /// Of who is in the room already and shows a newer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

/// What it answers. Other fields are ignored.
#[derive(Deserialize)]
struct Answer {
    admit: bool,
    /// Why not.
    text: Option<String>,
    peer: Option<String>,
    role: Option<String>,
    subject: Option<String>,
    expires_in_s: Option<u64>,
    cache_s: Option<u64>,
}

impl Webhook {
    pub(crate) fn new(config: WebhookConfig) -> Self {
        let in_flight = Semaphore::new(config.in_flight_max.min(Semaphore::MAX_PERMITS));
        Self { config, in_flight, cache: Mutex::default(), failures: Failures::default() }
    }

    pub(crate) async fn check(&self, now: Now, question: &Question) -> Result<Admitted, Denied> {
        let most = self.config.token_bytes_max;
        if question.token.as_ref().is_some_and(|token| token.as_str().len() > most) {
            return Err(Denied::unauthorized(format!("a token has at most {most} bytes")));
        }
        let body = body(question);
        let key = Sha256::digest(&body).into();
        if let Some(outcome) = self.remembered(now.time, &key) {
            return outcome;
        }
        let Ok(_permit) = self.in_flight.try_acquire() else { return Err(Denied::unavailable()) };
        let answer = self.ask(now, body).await.and_then(|answer| {
            let answer = serde_json::from_slice::<Answer>(&answer.body);
            answer.map_err(|error| error.to_string())
        });
        let outcome = answer.and_then(|answer| {
            let outcome = answer.outcome(now.time, question.token.as_ref())?;
            Ok((answer.cache_s.unwrap_or(0), outcome))
        });
        match outcome {
            Ok((cache_s, outcome)) => {
                self.remember(now.time, key, Duration::from_secs(cache_s), &outcome);
                outcome
            }
            Err(why) => {
                if self.failures.count() {
                    let url = &self.config.url;
                    warn!(?url, why, "no good answer of the webhook: nobody new is let in");
                }
                Err(Denied::unavailable())
            }
        }
    }

    /// The answer, at the second attempt if the first one fails.
    async fn ask(&self, now: Now, body: Bytes) -> Result<Incoming, String> {
        let mut answer = self.attempt(now, body.clone()).await;
        let may_pass = match &answer {
            Ok(answer) => answer.status.is_server_error(),
            Err(_) => true,
        };
        if may_pass {
            answer = self.attempt(now, body).await;
        }
        match answer {
            Ok(answer) if answer.status == StatusCode::OK => Ok(answer),
            Ok(answer) => Err(format!("it answered {}", answer.status)),
            Err(unanswered) => Err(unanswered.to_string()),
        }
    }

    async fn attempt(&self, now: Now, body: Bytes) -> Result<Incoming, Unanswered> {
        let WebhookConfig { url, client, secret, timeout, answer_bytes_max, .. } = &self.config;
        let limits = (*timeout, *answer_bytes_max);
        client.send(Outgoing::json(url.clone(), secret.as_ref(), now.unix, body, limits)).await
    }

    fn remembered(&self, now: Time, key: &[u8; 32]) -> Option<Result<Admitted, Denied>> {
        let cache = self.cache();
        cache.get(key).filter(|cached| cached.until > now).map(|cached| cached.outcome.clone())
    }

    fn remember(
        &self,
        now: Time,
        key: [u8; 32],
        time: Duration,
        outcome: &Result<Admitted, Denied>,
    ) {
        let mut until = now + time.min(self.config.cache_time_max);
        if let Ok(Admitted { grant: Grant { expires: Some(expires), .. }, .. }) = outcome {
            until = until.min(*expires);
        }
        if until <= now {
            return;
        }
        let mut cache = self.cache();
        if cache.len() >= self.config.cached_max {
            cache.retain(|_, cached| cached.until > now);
        }
        if cache.len() < self.config.cached_max {
            cache.insert(key, Cached { until, outcome: outcome.clone() });
        }
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<[u8; 32], Cached>> {
        // Nothing panics while it is locked.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.all()
    }
}

impl Answer {
    /// What it means.
    ///
    /// # Errors
    /// Why it can't be what the service wants to say.
    fn outcome(
        &self,
        now: Time,
        token: Option<&Token>,
    ) -> Result<Result<Admitted, Denied>, String> {
        if !self.admit {
            let text = self.text.as_deref().unwrap_or(ErrorCode::Forbidden.advice());
            let ends = (0..=text.len().min(REFUSAL_BYTES_MAX)).rev();
            let end = ends.into_iter().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            return Ok(Err(Denied::new(ErrorCode::Forbidden, &text[..end])));
        }
        let peer = self.peer.as_deref().map(PeerId::parse).transpose();
        let role = self.role.as_deref().map(Role::parse).transpose();
        let subject = self.subject.as_deref();
        if subject.is_some_and(|subject| subject.len() > SUBJECT_BYTES_MAX) {
            return Err(format!("a subject has at most {SUBJECT_BYTES_MAX} bytes"));
        }
        let time =
            self.expires_in_s.map(|seconds| Duration::from_secs(seconds).min(GRANT_TIME_MAX));
        let grant = Grant {
            peer: peer.map_err(|bad| format!("the peer: {bad}"))?,
            role: role.map_err(|bad| format!("the role: {bad}"))?,
            subject: subject.map(Into::into),
            expires: time.map(|time| now + time),
            hold: None,
        };
        Ok(Ok(Admitted { grant, who: Who::of(subject, token) }))
    }
}

fn body(question: &Question) -> Bytes {
    let body = Body {
        room: question.room.as_str(),
        address: question.address,
        metadata: question.metadata.as_ref().map(Metadata::value),
        peer: question.peer.as_ref().map(PeerId::as_str),
        token: question.token.as_ref().map(Token::as_str),
    };
    serde_json::to_vec(&body).expect("strings and raw values have a JSON form").into()
}
