//! Makes tokens: for tests, and for who has no service of his own yet.

use super::keys::{BadKey, is_pem, read, trimmed};
use heliograph_base::UnixTime;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};
use signal_core::{ID_BYTES_MAX, PeerId, Role, RoomId};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// A key that signs tokens: a secret (HS256), or a private one of RSA (RS256), P-256 (ES256) or
/// Ed25519 (EdDSA).
pub struct MintKey {
    algorithm: Algorithm,
    key: EncodingKey,
}

/// Shows no key.
impl fmt::Debug for MintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MintKey({:?})", self.algorithm)
    }
}

/// What a token is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mint {
    /// The rooms that it is for, or patterns such as `game-*`; none: any.
    pub rooms: Vec<String>,
    /// The peer id that it gives.
    pub peer: Option<String>,
    /// The role that it gives.
    pub role: Option<String>,
    /// Who holds it.
    pub subject: Option<String>,
    /// Who issues it.
    pub issuer: Option<String>,
    /// For whom it is.
    pub audience: Option<String>,
    /// The name of the key that signs it.
    pub key_id: Option<String>,
    /// For how long it is good.
    pub ttl: Duration,
}

impl Mint {
    /// Whether a token that says this would be taken.
    fn check(&self) -> Result<(), String> {
        for room in &self.rooms {
            let prefix = room.strip_suffix('*').unwrap_or(room);
            if room != "*" && RoomId::parse(prefix).is_err() {
                return Err(format!("{room} is no room id and no pattern such as game-*"));
            }
        }
        let is_peer = self.peer.as_deref().is_none_or(|peer| PeerId::parse(peer).is_ok());
        let is_role = self.role.as_deref().is_none_or(|role| Role::parse(role).is_ok());
        match (is_peer, is_role) {
            (true, true) => Ok(()),
            (false, _) => Err(format!("a peer id has 1 to {ID_BYTES_MAX} of A-Z a-z 0-9 . _ ~ -")),
            (true, false) => {
                let most = Role::BYTES_MAX;
                Err(format!("a role has 1 to {most} of A-Z a-z 0-9 . _ ~ -"))
            }
        }
    }
}

impl MintKey {
    /// Reads a file: a private key in PEM form (PKCS #8), or else a secret.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, BadKey> {
        let bytes = read(path)?;
        let key = match is_pem(&bytes) {
            true => Self::from_pem(&bytes),
            false => Self::from_secret(trimmed(&bytes)),
        };
        key.map_err(|BadKey(why)| BadKey(format!("{}: {why}", path.display())))
    }

    /// Takes a secret, as [`Keys::from_secret`](super::Keys::from_secret) does.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_secret(secret: &[u8]) -> Result<Self, BadKey> {
        super::Keys::from_secret(secret)?;
        Ok(Self { algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret) })
    }

    /// Takes a private key in PEM form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadKey> {
        let is_private = String::from_utf8_lossy(pem).contains("PRIVATE KEY-----");
        let kinds = [
            (Algorithm::RS256, EncodingKey::from_rsa_pem(pem)),
            (Algorithm::ES256, EncodingKey::from_ec_pem(pem)),
            (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem)),
        ];
        let key = kinds.into_iter().find_map(|(algorithm, key)| Some((algorithm, key.ok()?)));
        match key.filter(|_| is_private) {
            Some((algorithm, key)) => Ok(Self { algorithm, key }),
            None => {
                let why = "needs a PRIVATE KEY of RSA, P-256 or Ed25519, as `openssl genpkey` \
                           makes them (PKCS #8)";
                Err(BadKey(why.to_owned()))
            }
        }
    }

    /// Makes a token.
    ///
    /// # Errors
    /// If the key can't sign, or the token would be no good.
    pub fn mint(&self, now: UnixTime, mint: &Mint) -> Result<String, BadKey> {
        mint.check().map_err(BadKey)?;
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&mint.key_id);
        let expires = (now + mint.ttl).seconds;
        let mut claims = Map::from_iter([
            ("iat".to_owned(), json!(now.seconds)),
            ("exp".to_owned(), json!(expires)),
        ]);
        let rooms = match &mint.rooms[..] {
            [] => None,
            [room] => Some(json!(room)),
            rooms => Some(json!(rooms)),
        };
        claims.extend(rooms.map(|rooms| ("room".to_owned(), rooms)));
        for (name, value) in [
            ("peer", &mint.peer),
            ("role", &mint.role),
            ("sub", &mint.subject),
            ("iss", &mint.issuer),
            ("aud", &mint.audience),
        ] {
            claims.extend(value.as_ref().map(|value| (name.to_owned(), Value::from(&**value))));
        }
        jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|error| BadKey(format!("the key can't sign: {error}")))
    }
}
