//! Finding out who asks. RFC 8489 §9.2.4.

use super::Server;
use super::allocation::Allocation;
use super::credentials::{Denied, User, UserKind};
use super::request::{Origin, Request};
use crate::wire::{ErrorCode, Method};

/// The longest username that a USERHASH stands for: RFC 8489 §14.3 allows less than 509 bytes.
pub(super) const HASHED_NAME_BYTES_MAX: usize = 508;

/// Somebody who hasn't shown who it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stranger<'a> {
    /// What it is answered.
    pub(super) code: ErrorCode,
    /// Who it says that it is, and what is wrong with its password, if that is all.
    pub(super) named: Option<(&'a str, Denied)>,
}

impl From<ErrorCode> for Stranger<'_> {
    fn from(code: ErrorCode) -> Self {
        Self { code, named: None }
    }
}

impl Server {
    /// Finds out who asks. `room` is for the name behind a USERHASH.
    ///
    /// The nonce is checked before all else, not last: it costs less than the password, and what a
    /// client made of an old challenge is best answered with a new one. Nothing is taken from the
    /// heap.
    pub(super) fn authenticate<'a>(
        &self,
        request: &Request<'a>,
        room: &'a mut [u8; HASHED_NAME_BYTES_MAX],
    ) -> Result<User<'a>, Stranger<'a>> {
        if !request.message.has_integrity() {
            return Err(ErrorCode::Unauthorized.into());
        }
        let fields = &request.fields;
        let has_name = fields.username.or(fields.user_hash).is_some();
        let (true, Some(_), Some(nonce)) = (has_name, fields.realm, fields.nonce) else {
            return Err(ErrorCode::BadRequest.into());
        };
        let is_vouched_for = request.origin == Origin::Worker { is_vouched_for: true };
        if !is_vouched_for && !self.nonces.is_good(request.now.time, request.client, nonce) {
            return Err(ErrorCode::StaleNonce.into());
        }
        let known = self.table.of_client(request.client).map(|slot| self.table.get(slot));
        let algorithm = request.algorithm(known.is_some()).map_err(|_| ErrorCode::BadRequest)?;
        // RFC 8489 §14.6: "The value MUST be the full 32 bytes unless the STUN Usage explicitly
        // specifies that truncation is allowed." TURN doesn't.
        if request.message.has_truncated_integrity() {
            return Err(ErrorCode::Unauthorized.into());
        }
        let name = self.name(request, known, room).ok_or(ErrorCode::Unauthorized)?;
        let is_it = |allocation: &&Allocation| {
            *allocation.record.user == *name && allocation.record.key.algorithm() == algorithm
        };
        let user = match known.filter(is_it) {
            Some(allocation) => known_user(request, name, allocation),
            None => self.checker.check(request.now.unix, name, algorithm, &request.message),
        };
        user.map_err(|denied| Stranger {
            code: ErrorCode::Unauthorized,
            named: Some((name, denied)),
        })
    }

    /// The name of the user, or the one whose USERHASH it is: of the client's own allocation, or a
    /// static one.
    fn name<'a>(
        &self,
        request: &Request<'a>,
        known: Option<&Allocation>,
        room: &'a mut [u8; HASHED_NAME_BYTES_MAX],
    ) -> Option<&'a str> {
        if let Some(name) = request.fields.username {
            return str::from_utf8(name).ok();
        }
        let hash = request.fields.user_hash?;
        let own = known.map(|allocation| &*allocation.record.user);
        let own = own.filter(|name| self.checker.is_hash_of(name, hash));
        let name = own.or_else(|| self.checker.name_of(hash))?;
        let room = room.get_mut(..name.len())?;
        room.copy_from_slice(name.as_bytes());
        str::from_utf8(room).ok()
    }
}

/// The user of an allocation, if it signed with the key of the first time. Credentials that have
/// expired since still end an allocation, but don't prolong it.
fn known_user<'a>(
    request: &Request<'_>,
    name: &'a str,
    allocation: &Allocation,
) -> Result<User<'a>, Denied> {
    let (key, kind) = (allocation.record.key, allocation.record.user_kind);
    if !request.message.is_signed_with(&key) {
        return Err(Denied::Wrong);
    }
    match kind {
        UserKind::Holder { expires }
            if request.now.unix >= expires
                && request.method == Method::Refresh
                && !request.is_farewell() =>
        {
            Err(Denied::Expired(expires))
        }
        UserKind::Holder { .. } | UserKind::Static => Ok(User { name, key, kind }),
    }
}
