//! What a signed token says (JWT, RFC 7519), and whether that is enough.

use super::config::{GRANT_TIME_MAX, KeySource, SUBJECT_BYTES_MAX, TokenConfig};
use super::key_url::Remote;
use super::keys::Keys;
use super::{Admitted, Denied, Question, Who};
use heliograph_base::{Clock, Now};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation};
use serde::{Deserialize, Deserializer};
use signal_core::protocol::ErrorCode;
use signal_core::{Grant, PeerId, Role, RoomId, Token};
use std::sync::Arc;
use std::time::Duration;

/// Checks tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    config: TokenConfig,
    remote: Option<Arc<Remote>>,
}

/// Why a token isn't taken.
#[derive(Debug)]
enum Refused {
    /// The key that it names isn't known.
    UnknownKey,
    /// It is wrong itself.
    Denied(Denied),
}

/// What a token says. A claim that is there has the type that it should have: a `room` that is
/// `null` doesn't stand for all of them.
#[derive(Debug, Deserialize)]
struct Claims {
    #[serde(default, deserialize_with = "present")]
    exp: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    iss: Option<String>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<OneOrMany>,
    #[serde(default, deserialize_with = "present")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    room: Option<OneOrMany>,
    #[serde(default, deserialize_with = "present")]
    peer: Option<String>,
    #[serde(default, deserialize_with = "present")]
    role: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Tokens {
    /// Begins to ask for keys, if they are to be asked for.
    pub(crate) fn start(config: TokenConfig, clock: Clock) -> Self {
        let remote = match &config.keys {
            KeySource::Fixed(_) => None,
            KeySource::Url(url) => Some(Remote::start((**url).clone(), clock)),
        };
        Self { config, remote }
    }

    /// The same, but keys are asked for only when one is missing.
    #[cfg(test)]
    pub(crate) fn asking(config: TokenConfig) -> Self {
        let KeySource::Url(url) = config.keys.clone() else { unreachable!("it has a URL") };
        Self { config, remote: Some(Arc::new(Remote::new(*url))) }
    }

    pub(crate) async fn check(&self, now: Now, question: &Question) -> Result<Admitted, Denied> {
        let Some(token) = &question.token else {
            return Err(Denied::unauthorized("a token is needed: put it into \"token\" of hello"));
        };
        let keys = match (&self.config.keys, &self.remote) {
            (KeySource::Fixed(keys), _) => Some(keys.clone()),
            (KeySource::Url(_), remote) => remote.as_ref().and_then(|remote| remote.keys()),
        };
        let outcome = keys.as_ref().map(|keys| grant(&self.config, keys, now, question, token));
        match (outcome, &self.remote) {
            (Some(Ok(admitted)), _) => Ok(admitted),
            (Some(Err(Refused::Denied(denied))), _) => Err(denied),
            (Some(Err(Refused::UnknownKey)) | None, Some(remote)) => {
                remote.refresh(now.time).await;
                let keys = remote.keys().ok_or_else(Denied::unavailable)?;
                grant(&self.config, &keys, now, question, token).map_err(Refused::denied)
            }
            (Some(Err(refused)), None) => Err(refused.denied()),
            (None, None) => Err(Denied::unavailable()),
        }
    }

    pub(crate) fn failures(&self) -> u64 {
        self.remote.as_ref().map_or(0, |remote| remote.failures())
    }
}

impl Refused {
    fn denied(self) -> Denied {
        match self {
            Self::UnknownKey => Denied::unauthorized("the token is signed with an unknown key"),
            Self::Denied(denied) => denied,
        }
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

/// What a token permits in a room, if it is good for it: for fuzzing, which has nothing to ask.
#[must_use]
pub fn check_token(
    config: &TokenConfig,
    keys: &Keys,
    now: Now,
    room: &RoomId,
    token: &Token,
) -> Option<Grant> {
    let (metadata, peer) = (None, None);
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    let question = Question { room: room.clone(), address, metadata, peer, token: None };
    grant(config, keys, now, &question, token).ok().map(|admitted| admitted.grant)
}

fn grant(
    config: &TokenConfig,
    keys: &Keys,
    now: Now,
    question: &Question,
    token: &Token,
) -> Result<Admitted, Refused> {
    let claims = read(config, keys, token)?;
    let expires_in = claims.check_time(config.leeway, now)?;
    claims.check_parties(config)?;
    let grant = claims.grant(now, expires_in)?;
    if !claims.is_for(&question.room) {
        let text = "the token isn't for this room";
        return Err(Denied::new(ErrorCode::Forbidden, text).into());
    }
    let who = Who::of(grant.subject.as_deref(), Some(token));
    Ok(Admitted { grant, who })
}

/// The claims of a token whose signature is right.
fn read(config: &TokenConfig, keys: &Keys, token: &Token) -> Result<Claims, Refused> {
    let text = token.as_str();
    if text.len() > config.token_bytes_max {
        let most = config.token_bytes_max;
        return Err(Denied::unauthorized(format!("a token has at most {most} bytes")).into());
    }
    let header = jsonwebtoken::decode_header(text)
        .map_err(|_| Denied::unauthorized("this is no token of a kind that is known here"))?;
    // RFC 7515 §4.1.11: who doesn't understand what is critical must refuse it.
    if header.crit.is_some() {
        return Err(Denied::unauthorized("the token has critical headers").into());
    }
    verify(keys, text, &header)
}

fn verify(keys: &Keys, text: &str, header: &Header) -> Result<Claims, Refused> {
    let mut outcome = Err(Refused::UnknownKey);
    for key in keys.candidates(header) {
        // One without a name is tried, but that it is the wrong one says nothing.
        let is_meant = header.kid.is_none() || key.is_named();
        if key.algorithm() != header.alg {
            if is_meant {
                let text = "the token's algorithm isn't the one of its key";
                outcome = Err(Denied::unauthorized(text).into());
            }
            continue;
        }
        let mut only = Validation::new(key.algorithm());
        // What it claims is checked here: with the time that we are told, and texts of our own.
        (only.validate_exp, only.validate_aud) = (false, false);
        only.required_spec_claims.clear();
        match jsonwebtoken::decode::<Claims>(text, key.key(), &only) {
            Ok(data) => return Ok(data.claims),
            Err(error) if matches!(error.kind(), ErrorKind::Json(_)) => {
                let text = "a claim of the token has the wrong type";
                return Err(Denied::unauthorized(text).into());
            }
            Err(_) if !is_meant => {}
            Err(_) => {
                outcome = Err(Denied::unauthorized("the token's signature is wrong").into());
            }
        }
    }
    outcome
}

impl Claims {
    /// For how long the token is still good.
    fn check_time(&self, leeway: Duration, now: Now) -> Result<Duration, Denied> {
        let Some(exp) = self.exp else {
            return Err(Denied::unauthorized("the token needs the claim \"exp\""));
        };
        let (now, leeway) = (now.unix.seconds as f64, leeway.as_secs_f64());
        if self.nbf.is_some_and(|nbf| nbf > now + leeway) {
            return Err(Denied::unauthorized("the token isn't good yet (nbf)"));
        }
        let left = exp + leeway - now;
        if left <= 0.0 {
            return Err(Denied::unauthorized("the token has expired: get a new one"));
        }
        Ok(Duration::from_secs_f64(left.min(GRANT_TIME_MAX.as_secs_f64())))
    }

    /// Whether it was issued by whom, and for whom, it must be.
    fn check_parties(&self, config: &TokenConfig) -> Result<(), Denied> {
        let is_issuer = |own: &String| self.iss.as_ref() == Some(own);
        if !config.issuers.is_empty() && !config.issuers.iter().any(is_issuer) {
            return Err(Denied::unauthorized("the token is of another issuer (iss)"));
        }
        let named: &[String] = self.aud.as_ref().map_or(&[], OneOrMany::list);
        let is_for_us = match (&self.aud, &config.audiences[..]) {
            (None, []) => true,
            (Some(_) | None, own) => own.iter().any(|own| named.contains(own)),
        };
        match is_for_us {
            true => Ok(()),
            false => Err(Denied::unauthorized("the token is for another audience (aud)")),
        }
    }

    fn grant(&self, now: Now, expires_in: Duration) -> Result<Grant, Denied> {
        let wrong = |what: &str| Denied::unauthorized(format!("the token's {what} can't be one"));
        let peer = self.peer.as_deref().map(PeerId::parse).transpose();
        let role = self.role.as_deref().map(Role::parse).transpose();
        let subject = self.sub.as_deref();
        if subject.is_some_and(|subject| subject.len() > SUBJECT_BYTES_MAX) {
            return Err(wrong("subject (sub)"));
        }
        Ok(Grant {
            peer: peer.map_err(|_| wrong("peer"))?,
            role: role.map_err(|_| wrong("role"))?,
            subject: subject.map(Into::into),
            expires: Some(now.time + expires_in),
            hold: None,
        })
    }

    fn is_for(&self, room: &RoomId) -> bool {
        let Some(rooms) = &self.room else { return true };
        rooms.list().iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => room.as_str().starts_with(prefix),
            None => room.as_str() == pattern,
        })
    }
}

impl OneOrMany {
    fn list(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// Takes a value that is there; by itself an option takes `null` for nothing.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}
