//! Who is let in, and the limits of finding that out: each with its default, unit and reason.

use super::keys::Keys;
use crate::{HttpClient, OutgoingUrl};
use heliograph_base::Secret;
use std::sync::Arc;
use std::time::Duration;

/// Who gets a seat.
#[derive(Clone, Debug, Default)]
pub enum AuthConfig {
    /// Everybody; tokens are not looked at.
    #[default]
    Open,
    /// Who has a token (JWT, RFC 7519) that is signed with a known key.
    Tokens(TokenConfig),
    /// Whom a service of the operator's own lets in.
    Webhook(Box<WebhookConfig>),
}

/// Which tokens are good.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// The keys that sign them.
    pub keys: KeySource,
    /// Who may have issued them (`iss`); none: whoever has a key.
    pub issuers: Vec<String>,
    /// For whom they must be (`aud`); none: for nobody in particular, and then a token that is for
    /// somebody is refused (RFC 7519 §4.1.3).
    pub audiences: Vec<String>,
    /// How far the issuer's clock may be off: by so much tokens are good longer, and sooner.
    ///
    /// 30 s: ample for clocks that are kept by NTP.
    pub leeway: Duration,
    /// The largest token, in bytes; larger ones aren't read.
    ///
    /// 4 KiB: those of the large identity services have 1 to 2.
    pub token_bytes_max: usize,
}

impl TokenConfig {
    /// The defaults with these keys.
    #[must_use]
    pub fn new(keys: KeySource) -> Self {
        Self {
            keys,
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Duration::from_secs(30),
            token_bytes_max: 4 << 10,
        }
    }
}

/// Where keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// They are given.
    Fixed(Arc<Keys>),
    /// A service says which they are (JWK Set, RFC 7517).
    Url(Box<KeyUrl>),
}

/// How a service is asked for its keys.
#[derive(Clone, Debug)]
pub struct KeyUrl {
    /// Where.
    pub url: OutgoingUrl,
    /// What asks.
    pub client: HttpClient,
    /// How long one request may take.
    ///
    /// 2 s: who waits for a new key to be known has 5 s for all of its hello.
    pub timeout: Duration,
    /// How often it is asked.
    ///
    /// 10 min: keys that were taken back are forgotten by then.
    pub interval: Duration,
    /// How often it is asked at most since a token names a key that isn't known.
    ///
    /// 10 s: so often strangers can have it asked.
    pub pause: Duration,
    /// The largest answer, in bytes.
    ///
    /// 64 KiB: two dozen keys with their certificates.
    pub answer_bytes_max: usize,
}

impl KeyUrl {
    /// The defaults with this URL.
    #[must_use]
    pub fn new(url: OutgoingUrl, client: HttpClient) -> Self {
        Self {
            url,
            client,
            timeout: Duration::from_secs(2),
            interval: Duration::from_secs(600),
            pause: Duration::from_secs(10),
            answer_bytes_max: 64 << 10,
        }
    }
}

/// How a service of the operator's own is asked.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Where.
    pub url: OutgoingUrl,
    /// What asks.
    pub client: HttpClient,
    /// Signs what it is asked, so that it knows who asks; none: it isn't signed.
    pub secret: Option<Secret>,
    /// How long one attempt may take; there are two.
    ///
    /// 2 s: a client has 5 s for all of its hello.
    pub timeout: Duration,
    /// The largest answer, in bytes.
    ///
    /// 16 KiB: it has a few short fields.
    pub answer_bytes_max: usize,
    /// How many may be asked at once; who comes then is told to come back.
    ///
    /// 256: a service that answers within 50 ms is asked 5,000 times a second.
    pub in_flight_max: usize,
    /// How many answers are remembered, 200 bytes and their grants each; when there are so many,
    /// further ones are not.
    ///
    /// 10,000: a fifth of a server full of clients that come back.
    pub cached_max: usize,
    /// The longest that an answer is remembered, whatever it says.
    ///
    /// 1 h: whom the service bans is out by then.
    pub cache_time_max: Duration,
    /// The largest token, in bytes; larger ones aren't passed on.
    ///
    /// 4 KiB, as elsewhere.
    pub token_bytes_max: usize,
}

impl WebhookConfig {
    /// The defaults with this URL.
    #[must_use]
    pub fn new(url: OutgoingUrl, client: HttpClient) -> Self {
        Self {
            url,
            client,
            secret: None,
            timeout: Duration::from_secs(2),
            answer_bytes_max: 16 << 10,
            in_flight_max: 256,
            cached_max: 10_000,
            cache_time_max: Duration::from_secs(3600),
            token_bytes_max: 4 << 10,
        }
    }
}

/// The most keys that are kept of one file or answer; others are left out.
///
/// 32: services have two or three, and a token without `kid` is tried with each.
pub(crate) const KEYS_MAX: usize = 32;

/// The longest `sub` of a token or subject of an answer, in bytes.
///
/// 256: more than a name or a URL needs; bounds what a seat remembers.
pub(crate) const SUBJECT_BYTES_MAX: usize = 256;

/// The longest that a client is told by a service that refuses it, in bytes.
///
/// 256: a sentence or two.
pub(crate) const REFUSAL_BYTES_MAX: usize = 256;

/// How long a grant can be: longer ones end then.
///
/// Ten years: longer than any process.
pub(crate) const GRANT_TIME_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// When those come back whose token can't be checked.
///
/// 2 s: outlasts a restart of the service.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);
