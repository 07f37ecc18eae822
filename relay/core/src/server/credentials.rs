//! Who may allocate: static users and holders of time-limited credentials.

use crate::Config;
use crate::wire::{Key, Message};
use heliograph_base::{Secret, UnixTime, Username, password};
use std::collections::HashMap;

/// Checks passwords.
#[derive(Debug)]
pub(super) struct Checker {
    realm: String,
    secrets: Vec<Secret>,
    static_keys: HashMap<String, Key, ahash::RandomState>,
}

/// A user whose password was right.
#[derive(Clone, Copy, Debug)]
pub(super) struct User<'a> {
    pub(super) name: &'a str,
    pub(super) key: Key,
    pub(super) kind: UserKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserKind {
    /// One that the operator named.
    Static,
    /// One with time-limited credentials.
    Holder { expires: UnixTime },
}

impl Checker {
    pub(super) fn new(config: &Config, hasher: ahash::RandomState) -> Self {
        let mut static_keys = HashMap::with_hasher(hasher);
        for user in &config.users {
            let key = Key::long_term(&user.name, &config.realm, &user.password);
            static_keys.insert(user.name.clone(), key);
        }
        Self { realm: config.realm.clone(), secrets: config.secrets.clone(), static_keys }
    }

    /// The user `name`, if `message` is signed with a password of that user which is good now.
    pub(super) fn check<'a>(
        &self,
        unix: UnixTime,
        name: &'a str,
        message: &Message<'_>,
    ) -> Option<User<'a>> {
        if let Some(key) = self.static_keys.get(name) {
            let user = User { name, key: *key, kind: UserKind::Static };
            return message.is_signed_with(key).then_some(user);
        }
        let expires = Username::parse(name)?.expires;
        if unix >= expires {
            return None;
        }
        let keys = self
            .secrets
            .iter()
            .map(|secret| Key::long_term(name, &self.realm, &password(secret, name)));
        let key = keys.into_iter().find(|key| message.is_signed_with(key))?;
        Some(User { name, key, kind: UserKind::Holder { expires } })
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
