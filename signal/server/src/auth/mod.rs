//! Who is let in: asked between a client's `hello` and the shard of the room.
//!
//! - `tokens`: what a signed token says; `keys`: with what it is signed; `key_url`: who says so;
//! - `webhook`: a service of the operator's own decides;
//! - `mint`: makes tokens, for tests and for who has no service of his own yet.
//!
//! What a grant means once somebody is in is the hub's affair. Tokens are never logged.

mod config;
mod key_url;
mod keys;
mod mint;
mod tokens;
mod webhook;

pub use config::{AuthConfig, KeySource, KeyUrl, TokenConfig, WebhookConfig};
pub use keys::{BadKey, Keys};
pub use mint::{Mint, MintKey};
pub use tokens::check_token;

use config::RETRY_AFTER;
use heliograph_base::{Clock, Now, Sample};
use sha2::{Digest as _, Sha256};
use signal_core::protocol::ErrorCode;
use signal_core::{Grant, Metadata, PeerId, RoomId, Token};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokens::Tokens;
use webhook::Webhook;

/// Finds out who is let in.
#[derive(Debug)]
pub(crate) enum Auth {
    Open,
    Tokens(Tokens),
    Webhook(Box<Webhook>),
}

/// Who asks for what.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) room: RoomId,
    /// Where it comes from.
    pub(crate) address: IpAddr,
    /// What it brings along; none if it is in the room already and shows a newer token.
    pub(crate) metadata: Option<Metadata>,
    /// Its peer id, if it has one already.
    pub(crate) peer: Option<PeerId>,
    pub(crate) token: Option<Token>,
}

/// What somebody who is let in may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) grant: Grant,
    /// Who it counts as.
    pub(crate) who: Option<Who>,
}

/// Who somebody counts as, whatever its address: the subject of its token, or the token itself if
/// that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Who([u8; 16]);

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) code: ErrorCode,
    /// For developers.
    pub(crate) text: Box<str>,
    pub(crate) retry_after: Option<Duration>,
}

impl Auth {
    /// Begins to ask for keys, if they are to be asked for, in a task of the tokio runtime that
    /// this is called in.
    pub(crate) fn start(config: AuthConfig, clock: Clock) -> Self {
        match config {
            AuthConfig::Open => Self::Open,
            AuthConfig::Tokens(config) => Self::Tokens(Tokens::start(config, clock)),
            AuthConfig::Webhook(config) => Self::Webhook(Box::new(Webhook::new(*config))),
        }
    }

    /// Whether everybody is let in.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Whether somebody is let in; takes as long as a service that has to be asked, within its
    /// limits.
    pub(crate) async fn check(&self, now: Now, question: Question) -> Result<Admitted, Denied> {
        match self {
            Self::Open => Ok(Admitted::default()),
            Self::Tokens(tokens) => tokens.check(now, &question).await,
            Self::Webhook(webhook) => webhook.check(now, &question).await,
        }
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        let failures = match self {
            Self::Open => return Vec::new(),
            Self::Tokens(tokens) => tokens.failures(),
            Self::Webhook(webhook) => webhook.failures(),
        };
        let help = "Requests for keys or to the webhook that brought no good answer.";
        vec![Sample::counter("signal_auth_failures", help, failures)]
    }
}

impl Who {
    /// The holder of a token, whose subject it may name.
    pub(crate) fn of(subject: Option<&str>, token: Option<&Token>) -> Option<Self> {
        let (kind, text) = match (subject, token) {
            (Some(subject), _) => ("s", subject),
            (None, Some(token)) => ("t", token.as_str()),
            (None, None) => return None,
        };
        let hash = Sha256::new_with_prefix(kind).chain_update(text).finalize();
        let mut who = [0; 16];
        who.copy_from_slice(&hash[..16]);
        Some(Self(who))
    }
}

impl Denied {
    pub(crate) fn new(code: ErrorCode, text: impl Into<Box<str>>) -> Self {
        Self { code, text: text.into(), retry_after: None }
    }

    fn unauthorized(text: impl Into<Box<str>>) -> Self {
        Self::new(ErrorCode::Unauthorized, text)
    }

    fn unavailable() -> Self {
        let code = ErrorCode::AuthUnavailable;
        Self { retry_after: Some(RETRY_AFTER), ..Self::new(code, code.advice()) }
    }
}

/// Counts what brought no good answer; logged at first and then ever more rarely.
#[derive(Clone, Debug, Default)]
struct Failures(Arc<AtomicU64>);

impl Failures {
    /// Whether this one is to be logged.
    fn count(&self) -> bool {
        (self.0.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two()
    }

    fn all(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
