//! Who may allocate: static users and holders of time-limited credentials.

use crate::Config;
use crate::wire::{Key, Message, PasswordAlgorithm, user_hash};
use heliograph_base::{PASSWORD_BYTES, Secret, UnixTime, Username, password_into};
use std::collections::HashMap;

/// Checks passwords. Nothing here takes from the heap for who asks.
#[derive(Debug)]
pub(super) struct Checker {
    realm: String,
    secrets: Vec<Secret>,
    users: HashMap<String, Keys, ahash::RandomState>,
    /// Static users by USERHASH. Of a time-limited username there is no hash beforehand.
    names: HashMap<[u8; 32], String, ahash::RandomState>,
}

/// The keys of one static user.
#[derive(Debug)]
struct Keys {
    md5: Key,
    sha256: Key,
}

/// A user whose password was right.
#[derive(Clone, Copy, Debug)]
pub(super) struct User<'a> {
    pub(super) name: &'a str,
    pub(super) key: Key,
    pub(super) kind: UserKind,
}

/// Why a password isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// It isn't that of the user.
    Wrong,
    /// It is, but was good only until then.
    Expired(UnixTime),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserKind {
    /// One that the operator named.
    Static,
    /// One with time-limited credentials.
    Holder { expires: UnixTime },
}

impl Checker {
    pub(super) fn new(config: &Config, hasher: &ahash::RandomState) -> Self {
        let mut users = HashMap::with_hasher(hasher.clone());
        let mut names = HashMap::with_hasher(hasher.clone());
        for user in &config.users {
            let key =
                |algorithm| Key::long_term_by(algorithm, &user.name, &config.realm, &user.password);
            let md5 = key(PasswordAlgorithm::Md5);
            let sha256 = key(PasswordAlgorithm::Sha256);
            users.insert(user.name.clone(), Keys { md5, sha256 });
            names.insert(user_hash(&user.name, &config.realm), user.name.clone());
        }
        Self { realm: config.realm.clone(), secrets: config.secrets.clone(), users, names }
    }

    /// The static user with this USERHASH.
    pub(super) fn name_of(&self, hash: &[u8]) -> Option<&str> {
        let hash: &[u8; 32] = hash.try_into().ok()?;
        self.names.get(hash).map(String::as_str)
    }

    /// Whether `hash` is the USERHASH of `name`.
    pub(super) fn is_hash_of(&self, name: &str, hash: &[u8]) -> bool {
        user_hash(name, &self.realm) == *hash
    }

    /// The user `name`, if `message` is signed with a password of that user which is good now.
    ///
    /// # Errors
    /// [`Denied`]. A password is looked at even if its time is over, so that its holder can be told
    /// from others.
    pub(super) fn check<'a>(
        &self,
        unix: UnixTime,
        name: &'a str,
        algorithm: PasswordAlgorithm,
        message: &Message<'_>,
    ) -> Result<User<'a>, Denied> {
        if let Some(keys) = self.users.get(name) {
            let key = match algorithm {
                PasswordAlgorithm::Md5 => keys.md5,
                PasswordAlgorithm::Sha256 => keys.sha256,
            };
            let user = User { name, key, kind: UserKind::Static };
            return if message.is_signed_with(&key) { Ok(user) } else { Err(Denied::Wrong) };
        }
        let expires = Username::parse(name).ok_or(Denied::Wrong)?.expires;
        let mut keys = self.secrets.iter().map(|secret| {
            let mut buffer = [0; PASSWORD_BYTES];
            let password = password_into(secret, name, &mut buffer);
            Key::long_term_by(algorithm, name, &self.realm, password)
        });
        let key = keys.find(|key| message.is_signed_with(key)).ok_or(Denied::Wrong)?;
        if unix >= expires {
            return Err(Denied::Expired(expires));
        }
        Ok(User { name, key, kind: UserKind::Holder { expires } })
    }
}

/// Whose allocations count together: the holder, however often the credentials are renewed, or else
/// the user.
pub(super) fn quota_name(name: &str, kind: UserKind) -> &str {
    match (kind, Username::parse(name)) {
        (UserKind::Holder { .. }, Some(username)) => username.holder,
        (UserKind::Holder { .. } | UserKind::Static, _) => name,
    }
}
