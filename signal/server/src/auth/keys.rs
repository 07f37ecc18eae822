//! The keys that sign tokens, each with the one algorithm that it is good for: what a token itself
//! says of its algorithm only has to agree.

use super::config::KEYS_MAX;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::path::Path;

/// The keys that sign tokens.
#[derive(Clone, Default)]
pub struct Keys {
    list: Vec<Key>,
}

#[derive(Clone)]
pub(super) struct Key {
    /// What tokens call it (`kid`).
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why something is no key that can be used: a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKey(pub(super) String);

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadKey {}

/// RFC 7518 §3.2: "A key of the same size as the hash output [...] or larger MUST be used".
const SECRET_BYTES_MIN: usize = 32;

/// An uncompressed point of P-256.
const P256_BYTES: usize = 65;

impl Keys {
    /// Reads a file with one public key in PEM form (RSA, P-256 or Ed25519) or a JWK Set.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, BadKey> {
        let bytes = read(path)?;
        let keys = match is_pem(&bytes) {
            true => Self::from_pem(&bytes),
            false => Self::from_jwks(&bytes, true),
        };
        keys.map_err(|BadKey(why)| BadKey(format!("{}: {why}", path.display())))
    }

    /// Reads a file with a secret of at least 32 bytes for HS256. A line break at its end isn't
    /// part of it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read_secret(path: &Path) -> Result<Self, BadKey> {
        let keys = Self::from_secret(trimmed(&read(path)?));
        keys.map_err(|BadKey(why)| BadKey(format!("{}: {why}", path.display())))
    }

    /// Takes a secret of at least 32 bytes for HS256.
    ///
    /// # Errors
    /// [`BadKey`] if it is shorter, or looks as if it were a public key.
    pub fn from_secret(secret: &[u8]) -> Result<Self, BadKey> {
        if is_pem(secret) {
            let why = "a key in PEM form is no secret: everybody may know a public one";
            return Err(BadKey(why.to_owned()));
        }
        if secret.len() < SECRET_BYTES_MIN {
            let why = format!("a secret has at least {SECRET_BYTES_MIN} bytes (RFC 7518)");
            return Err(BadKey(why));
        }
        let key = DecodingKey::from_secret(secret);
        Ok(Self { list: vec![Key { id: None, algorithm: Algorithm::HS256, key }] })
    }

    /// Takes a public key in PEM form.
    ///
    /// # Errors
    /// [`BadKey`] if it is none, or of a kind that isn't known here.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadKey> {
        let text = String::from_utf8_lossy(pem);
        if !text.contains("PUBLIC KEY-----") {
            let hint = match text.contains("-----BEGIN CERTIFICATE-----") {
                true => ": `openssl x509 -pubkey -noout -in FILE` takes it out of a certificate",
                false => "",
            };
            return Err(BadKey(format!("needs a PUBLIC KEY in PEM form{hint}")));
        }
        let is_p256 =
            |key: &DecodingKey| key.try_get_as_bytes().is_ok_and(|point| point.len() == P256_BYTES);
        let rsa = DecodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key));
        let ec = || {
            let key = DecodingKey::from_ec_pem(pem).ok().filter(is_p256);
            key.map(|key| (Algorithm::ES256, key))
        };
        let ed = || DecodingKey::from_ed_pem(pem).ok().map(|key| (Algorithm::EdDSA, key));
        let found = rsa.ok().or_else(ec).or_else(ed);
        let Some((algorithm, key)) = found else {
            return Err(BadKey("needs a public key of RSA, P-256 or Ed25519".to_owned()));
        };
        Ok(Self { list: vec![Key { id: None, algorithm, key }] })
    }

    /// Takes a JWK Set (RFC 7517 §5). Keys of other kinds or for other uses are passed over, and so
    /// are secrets unless `may_be_secret`.
    ///
    /// # Errors
    /// [`BadKey`] if it isn't one, or has no key that can be used.
    pub fn from_jwks(json: &[u8], may_be_secret: bool) -> Result<Self, BadKey> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json)
            .map_err(|error| BadKey(format!("neither PEM nor a JWK Set: {error}")))?;
        // One by one: a key of a kind that isn't known makes no other unreadable.
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        let keys = keys.filter_map(|key: Jwk| Key::from_jwk(&key, may_be_secret));
        let list: Vec<Key> = keys.take(KEYS_MAX).collect();
        if list.is_empty() {
            return Err(BadKey("the JWK Set has no key that can be used".to_owned()));
        }
        Ok(Self { list })
    }

    /// These and others.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.list.extend(other.list);
        self
    }

    /// Those with which a token may be signed; none if the one that it names isn't known.
    pub(super) fn candidates<'a>(&'a self, header: &'a Header) -> impl Iterator<Item = &'a Key> {
        self.list.iter().filter(|key| match (&header.kid, &key.id) {
            (Some(named), Some(own)) => named == own,
            // Keys of files have no name.
            (Some(_) | None, None) | (None, Some(_)) => true,
        })
    }
}

impl Key {
    fn from_jwk(jwk: &Jwk, may_be_secret: bool) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            AlgorithmParameters::OctetKey(_) if may_be_secret => Algorithm::HS256,
            AlgorithmParameters::EllipticCurve(_)
            | AlgorithmParameters::OctetKeyPair(_)
            | AlgorithmParameters::OctetKey(_)
            | AlgorithmParameters::Other(_)
            | _ => return None,
        };
        let is_for_signing =
            jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
        let is_for_other = jwk.common.key_algorithm.is_some_and(|named| {
            !matches!(
                (algorithm, named),
                (Algorithm::RS256, KeyAlgorithm::RS256)
                    | (Algorithm::ES256, KeyAlgorithm::ES256)
                    | (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
                    | (Algorithm::HS256, KeyAlgorithm::HS256)
            )
        });
        if !is_for_signing || is_for_other {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let is_short = |key: &DecodingKey| {
            key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() < SECRET_BYTES_MIN)
        };
        if algorithm == Algorithm::HS256 && is_short(&key) {
            return None;
        }
        Some(Self { id: jwk.common.key_id.clone(), algorithm, key })
    }

    /// Whether a token that names its key means this one.
    pub(super) fn is_named(&self) -> bool {
        self.id.is_some()
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn key(&self) -> &DecodingKey {
        &self.key
    }
}

/// Shows no key: it may be a secret.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.list.len())
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, BadKey> {
    std::fs::read(path).map_err(|error| BadKey(format!("cannot read {}: {error}", path.display())))
}

pub(super) fn is_pem(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN")
}

/// A secret as it stands in a file.
pub(super) fn trimmed(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}
