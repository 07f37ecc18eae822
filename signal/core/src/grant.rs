//! What somebody may do in a room, and what it shows for it.

use crate::{PeerId, Role};
use heliograph_base::Time;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// What a client shows to be let in, as it was sent. Doesn't show itself in logs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Box<str>);

impl Token {
    /// Takes a text as it stands.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.0.len())
    }
}

/// What a token, or whoever was asked, permits its holder in one room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The peer id that it has there; none: a new one.
    pub peer: Option<PeerId>,
    /// What the others are told that it is.
    pub role: Option<Role>,
    /// Who it is, as the issuer calls it: a session stays with one.
    pub subject: Option<Arc<str>>,
    /// Until when; none: without end.
    pub expires: Option<Time>,
    /// Dropped with the seat.
    pub hold: Option<Hold>,
}

/// Kept as long as a seat is taken: by its drop, whoever counts seats learns that one is free.
#[derive(Clone)]
pub struct Hold(
    #[expect(dead_code, reason = "it is there to be dropped")] Arc<dyn Any + Send + Sync>,
);

impl Hold {
    /// Keeps `what`.
    #[must_use]
    pub fn new(what: impl Any + Send + Sync) -> Self {
        Self(Arc::new(what))
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold(..)")
    }
}

/// All are alike: what they hold is nobody's affair.
impl PartialEq for Hold {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Hold {}
