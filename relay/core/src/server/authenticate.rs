//! Finding out who asks. RFC 8489 §9.2.4.

use super::Server;
use super::allocation::Allocation;
use super::credentials::{User, UserKind};
use super::request::{Origin, Request};
use crate::wire::{ErrorCode, Method};

/// The longest username that a USERHASH stands for: RFC 8489 §14.3 allows less than 509 bytes.
pub(super) const HASHED_NAME_BYTES_MAX: usize = 508;

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
    ) -> Result<User<'a>, ErrorCode> {
        if !request.message.has_integrity() {
            return Err(ErrorCode::Unauthorized);
        }
        let fields = &request.fields;
        let has_name = fields.username.or(fields.user_hash).is_some();
        let (true, Some(_), Some(nonce)) = (has_name, fields.realm, fields.nonce) else {
            return Err(ErrorCode::BadRequest);
        };
        let is_vouched_for = request.origin == Origin::Worker { is_vouched_for: true };
        if !is_vouched_for && !self.nonces.is_good(request.now.time, request.client, nonce) {
            return Err(ErrorCode::StaleNonce);
        }
        let known = self.table.of_client(request.client).map(|slot| self.table.get(slot));
        let algorithm = request.algorithm(known.is_some()).map_err(|_| ErrorCode::BadRequest)?;
        // RFC 8489 §14.6: "The value MUST be the full 32 bytes unless the STUN Usage explicitly
        // specifies that truncation is allowed." TURN doesn't.
        if request.message.has_truncated_integrity() {
            return Err(ErrorCode::Unauthorized);
        }
        let name = self.name(request, known, room).ok_or(ErrorCode::Unauthorized)?;
        let is_it = |allocation: &&Allocation| {
            *allocation.record.user == *name && allocation.record.key.algorithm() == algorithm
        };
        let user = match known.filter(is_it) {
            Some(allocation) => known_user(request, name, allocation),
            None => self.checker.check(request.now.unix, name, algorithm, &request.message),
        };
        user.ok_or(ErrorCode::Unauthorized)
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
) -> Option<User<'a>> {
    let (key, kind) = (allocation.record.key, allocation.record.user_kind);
    let has_expired = match kind {
        UserKind::Static => false,
        UserKind::Holder { expires } => request.now.unix >= expires,
    };
    if has_expired && request.method == Method::Refresh && !request.is_farewell() {
        return None;
    }
    request.message.is_signed_with(&key).then_some(User { name, key, kind })
}
