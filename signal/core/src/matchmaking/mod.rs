//! Matchmaking: tickets that find each other, and the room where they meet.
//!
//! - [`Ticket`]: what somebody is and wants; read from JSON, and who it accepts after which time;
//! - [`Matchmaker`]: the tickets that wait, and which of them make a match;
//! - [`TicketOffice`]: around it, whose ticket it is, whether its owner is still there, and what
//!   became of it.
//!
//! The rule by which groups are chosen is in docs/decisions/0012-matchmaking.md.

mod index;
mod matchmaker;
mod office;
mod read;
mod search;
mod ticket;

pub use matchmaker::{Full, MatchCounts, MatchOutput, Matchmaker, Place, TicketNumber};
pub use office::{OfficeCounts, Posted, Status, TicketId, TicketOffice};
pub use read::BadTicket;
pub use ticket::{Condition, Number, PlayerCount, Relax, Ticket, Value, Wish};
