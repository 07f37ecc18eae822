//! The limits of rooms, sessions and tickets: each with its default, unit and reason.

use heliograph_base::Secret;
use std::time::Duration;

/// What rooms and sessions must keep to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a connection may take for a successful `hello`; then it is closed with 4000.
    ///
    /// 5 s: ten round trips of a bad mobile network, and short enough that silent connections don't
    /// pile up.
    pub hello_timeout: Duration,
    /// After so much silence the client is asked for a sign of life.
    ///
    /// 4 s: the answer then has 5 s to come, enough for packets that are lost and sent again.
    pub heartbeat_interval: Duration,
    /// After so much silence the connection is given up: closed with 4002, and the others are told
    /// `away`.
    ///
    /// 9 s: the others know within 10 s.
    pub heartbeat_timeout: Duration,
    /// How long after its connection broke a client is `away`.
    ///
    /// 1 s: who comes back at once, such as on another network, disturbs nobody.
    pub away_delay: Duration,
    /// For how long a session without a connection can be resumed; then its seat is free.
    ///
    /// 30 s: a tunnel, a change of network, a restart of a proxy.
    pub grace: Duration,
    /// How long after a numbered request was carried out the client knows it at the latest. It
    /// learns it sooner with any other frame.
    ///
    /// 2 s: the client keeps what isn't acknowledged, a few frames; sooner would mean a frame more
    /// for each signal.
    pub ack_delay: Duration,
    /// After how many such requests it is told at once.
    ///
    /// 32: bounds what a client keeps.
    pub ack_every: u64,
    /// How many frames of one connection are refused with an `error`; the next one closes it with
    /// 4100.
    ///
    /// 64: enough for a developer at the console, too few for a program that runs wild. Refusals
    /// that a well-behaved client can meet
    /// ([`ErrorCode::is_nobodys_fault`](crate::protocol::ErrorCode::is_nobodys_fault)) don't count.
    pub refusals_max: u32,
    /// How many frames a second a client may send after a burst of `messages_burst`; one that sends
    /// more isn't read from for so long. Pings, pongs and the parts of a frame count too. 0: no
    /// limit.
    ///
    /// 100: what games send that use signaling as a fallback.
    pub messages_per_s: u64,
    /// 400: a newcomer's offers and candidates for a room of a dozen.
    pub messages_burst: u64,
    /// How many bytes a second a client may send after a burst of `bytes_burst`, as above.
    ///
    /// 128 KiB: a few of the largest session descriptions.
    pub bytes_per_s: u64,
    /// 1 MiB: a newcomer's offers for a room of a dozen.
    pub bytes_burst: u64,
    /// How many joins a second one room takes after a burst of `room_joins_burst`; others are
    /// refused with `rate_limited`. 0: no limit.
    ///
    /// 50: each join is told to everybody in the room.
    pub room_joins_per_s: u64,
    /// 2,048: a full room comes back at once after its server was restarted.
    pub room_joins_burst: u64,
    /// How many frames a second each member of a room gets about who comes, goes, and loses its
    /// connection, after a burst of `news_burst`; what more there is waits for the next frame.
    ///
    /// 200: nobody notices 5 ms, and the worst crowd in a full room costs a core while it lasts.
    pub news_per_s: u64,
    /// 32: rooms of people never wait.
    pub news_burst: u64,
    /// How many such changes wait for the next frame; with as many it comes at once.
    ///
    /// 64: what a crowd brings in a few milliseconds.
    pub news_max: usize,
    /// How many bytes they may have.
    ///
    /// 16 KiB: a part of `unacked_bytes_max`, whose limit nobody may meet just since others come.
    pub news_bytes_max: usize,
    /// How many bytes a second the members of one room are sent together of what they say to
    /// several, states, rules and metadata included, after a burst of `broadcast_bytes_burst`; each
    /// frame counts for 256 more. Others are refused with `rate_limited`. 0: no limit.
    ///
    /// 4 MiB: what one member says costs as many times as there are others; 16,000 frames.
    pub broadcast_bytes_per_s: u64,
    /// 16 MiB: the largest frame to 256 members.
    pub broadcast_bytes_burst: u64,
    /// The largest state of a room, in bytes of JSON text.
    ///
    /// 16 KiB: a newcomer is sent all of it, and everybody each change.
    pub state_bytes_max: usize,
    /// The longest password of a room, in bytes.
    ///
    /// 128: any that a person remembers.
    pub password_bytes_max: usize,
    /// How many broadcasts a room may keep for newcomers.
    ///
    /// 256: a page of a chat, or the moves of a game.
    pub history_max: usize,
    /// How many bytes they may have; older ones are forgotten.
    ///
    /// 64 KiB: a newcomer is sent all of it in one frame.
    pub history_bytes_max: usize,
    /// For how long they are kept.
    ///
    /// 1 h: who comes later comes to another conversation.
    pub history_age: Duration,
    /// The largest `link` of a report, in bytes of JSON text; larger ones are refused with
    /// `bad_frame`.
    ///
    /// 2,048: twice what our own clients say.
    pub link_bytes_max: usize,
    /// How many reports of one member are kept, each about another member; with more, the oldest is
    /// forgotten.
    ///
    /// 64: more than a mesh of peers can use.
    pub reports_max: usize,
    /// How many diagnoses a second one session may ask for after a burst of `diagnoses_burst`;
    /// others are refused with `rate_limited`. 0: no limit.
    ///
    /// 1: each asks the relay's workers too, and nobody reads faster.
    pub diagnoses_per_s: u64,
    /// 4: a room of a few people of whom none gets through.
    pub diagnoses_burst: u64,
    /// How many clients a room bans; with more, the oldest ban is forgotten.
    ///
    /// 64: a host that has more to do needs a password.
    pub bans_max: usize,
    /// How long a host may be away; then the room has another.
    ///
    /// 5 s: with the second before it is `away`, a change of networks.
    pub host_patience: Duration,
    /// Whether rooms are made by who comes first; else only by who may make them.
    pub opens_rooms: bool,
    /// The largest frame of a client, in bytes of UTF-8; a larger one closes the connection with
    /// 1009.
    ///
    /// 64 KiB: a session description of a conference has 20 KiB.
    pub frame_bytes_max: usize,
    /// The largest `metadata`, in bytes of JSON text; larger ones are refused with `bad_metadata`.
    ///
    /// 1,024: a name and a few numbers. In a full room a newcomer is sent 1,024 of them.
    pub metadata_bytes_max: usize,
    /// The most members of one room; the next is refused with `room_full`.
    ///
    /// 1,024: far beyond what a mesh of peers can use; a join tells everybody.
    pub room_members_max: usize,
    /// The most rooms of one [`Hub`](crate::Hub); a join that needs another is refused with
    /// `server_full`.
    ///
    /// 65,536: one for every two members, as in rooms of two.
    pub rooms_max: usize,
    /// The most members of all rooms of one [`Hub`](crate::Hub); the next is refused with
    /// `server_full`.
    ///
    /// 131,072: more than one server has connections for; bounds memory.
    pub members_max: usize,
    /// How many frames of one session may wait to be acknowledged; over it the session ends with
    /// 4001.
    ///
    /// 256: what a burst in a busy room needs; a client acknowledges them every few dozen.
    pub unacked_frames_max: usize,
    /// How many bytes they may have. A single frame always fits, whatever its size.
    ///
    /// 256 KiB: four of the largest frames.
    pub unacked_bytes_max: usize,
    /// What becomes of a session whose token expires before it was renewed.
    ///
    /// It ends: a token that is good for an hour gives access for an hour.
    pub at_expiry: AtExpiry,
    /// What becomes of a newcomer whose token gives it a peer id that somebody in the room has.
    ///
    /// It is refused: nobody loses a seat to a copy of his own token.
    pub peer_taken: PeerTaken,
}

/// What becomes of a session whose token expires before it was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtExpiry {
    /// It ends.
    End,
    /// It goes on until it is away, but then can't be resumed.
    Keep,
}

/// What becomes of a newcomer whose token gives it a peer id that somebody in the room has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerTaken {
    /// It is refused with `peer_taken`.
    Refuse,
    /// It gets a seat, and the session that was there ends.
    Replace,
}

impl Config {
    /// How many frames may wait for one connection beside those that wait to be acknowledged:
    /// answers, which a client can ask for without end.
    #[must_use]
    pub const fn transmits_max(&self) -> usize {
        2 * self.unacked_frames_max
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hello_timeout: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(4),
            heartbeat_timeout: Duration::from_secs(9),
            away_delay: Duration::from_secs(1),
            grace: Duration::from_secs(30),
            ack_delay: Duration::from_secs(2),
            ack_every: 32,
            refusals_max: 64,
            messages_per_s: 100,
            messages_burst: 400,
            bytes_per_s: 128 << 10,
            bytes_burst: 1 << 20,
            room_joins_per_s: 50,
            room_joins_burst: 2048,
            broadcast_bytes_per_s: 4 << 20,
            broadcast_bytes_burst: 16 << 20,
            state_bytes_max: 16 << 10,
            password_bytes_max: 128,
            history_max: 256,
            history_bytes_max: 64 << 10,
            history_age: Duration::from_secs(3600),
            link_bytes_max: 2 << 10,
            reports_max: 64,
            diagnoses_per_s: 1,
            diagnoses_burst: 4,
            bans_max: 64,
            host_patience: Duration::from_secs(5),
            opens_rooms: true,
            news_per_s: 200,
            news_burst: 32,
            news_max: 64,
            news_bytes_max: 16 << 10,
            frame_bytes_max: 64 << 10,
            metadata_bytes_max: 1 << 10,
            room_members_max: 1 << 10,
            rooms_max: 1 << 16,
            members_max: 1 << 17,
            unacked_frames_max: 256,
            unacked_bytes_max: 256 << 10,
            at_expiry: AtExpiry::End,
            peer_taken: PeerTaken::Refuse,
        }
    }
}

/// What tickets must keep to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchLimits {
    /// The largest ticket, in bytes of JSON text; larger ones are refused with `bad_ticket`.
    ///
    /// 4 KiB: ten conditions take 1 KiB. Bounds what a waiting ticket holds.
    pub ticket_bytes_max: usize,
    /// The most properties of one ticket, and the most conditions.
    ///
    /// 16: games ask for three or four.
    pub properties_max: usize,
    /// See `properties_max`.
    pub conditions_max: usize,
    /// The most values of a `one_of`.
    ///
    /// 16: a dozen regions.
    pub choices_max: usize,
    /// The longest text that is a value, in bytes of UTF-8.
    ///
    /// 64: as long as a name may be.
    pub text_bytes_max: usize,
    /// The most players of one match.
    ///
    /// 64: more than a mesh of peers can use.
    pub players_max: u32,
    /// How long a ticket that doesn't say waits for more players than the fewest that it wants.
    ///
    /// 3 s: nobody notices, and who comes at the same time plays together.
    pub fill: Duration,
    /// How long a ticket that doesn't say waits for a match; then it has expired.
    ///
    /// 60 s: longer than that people leave.
    pub timeout: Duration,
    /// The longest that a ticket may wait, and the longest time that it may name.
    ///
    /// 10 min: rare modes at night.
    pub timeout_max: Duration,
    /// For how long the owner of a waiting ticket may be gone; then the ticket is cancelled.
    ///
    /// 30 s: as long as the seat of a session is kept.
    pub abandon: Duration,
    /// For how long it can be asked what became of a ticket.
    ///
    /// 60 s: longer than the longest poll, so that an answer that got lost can be asked for again.
    pub outcome_kept: Duration,
    /// The most tickets that wait; the next is refused with `server_full`.
    ///
    /// 16,384: a queue of a large game. Bounds memory to 64 MiB, if all are of the largest size.
    pub tickets_max: usize,
    /// The most outcomes that are kept; beyond it the oldest is forgotten sooner.
    ///
    /// 65,536: a thousand a second for a minute.
    pub outcomes_max: usize,
    /// How many steps the search for one ticket's group may take; then what it has goes, if it may,
    /// and else it gives up and is taken up again after `search_pause`.
    ///
    /// 32,768: about a millisecond. Groups of people who accept each other take one step a player;
    /// only where many accept one and few accept each other it takes more, in the worst case
    /// without bound.
    pub search_steps_max: u32,
    /// See `search_steps_max`.
    ///
    /// 5 s: by then tickets have come and gone.
    pub search_pause: Duration,
    /// How many comparisons of two tickets one call of `handle_timeout` makes before it lets
    /// others have their turn; what is left is due at once.
    ///
    /// 65,536: a few milliseconds.
    pub comparisons_per_turn: u64,
}

impl Default for MatchLimits {
    fn default() -> Self {
        Self {
            ticket_bytes_max: 4 << 10,
            properties_max: 16,
            conditions_max: 16,
            choices_max: 16,
            text_bytes_max: 64,
            players_max: 64,
            fill: Duration::from_secs(3),
            timeout: Duration::from_secs(60),
            timeout_max: Duration::from_secs(600),
            abandon: Duration::from_secs(30),
            outcome_kept: Duration::from_secs(60),
            tickets_max: 1 << 14,
            outcomes_max: 1 << 16,
            search_steps_max: 1 << 15,
            search_pause: Duration::from_secs(5),
            comparisons_per_turn: 1 << 16,
        }
    }
}

/// What who looks for public rooms must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchLimits {
    /// The most conditions of one search; with more it is refused with `bad_frame`.
    ///
    /// 8: games ask for three or four.
    pub conditions_max: usize,
    /// How many rooms an answer has at most, if the search doesn't say.
    ///
    /// 50: a page.
    pub rooms: usize,
    /// The most that it may ask for; more is refused with `bad_frame`.
    ///
    /// 100: at most 1.6 MiB of states.
    pub rooms_max: usize,
}

impl Default for SearchLimits {
    fn default() -> Self {
        Self { conditions_max: 8, rooms: 50, rooms_max: 100 }
    }
}

/// What TURN credentials are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnKey {
    /// Shared with the relay that checks them.
    pub secret: Secret,
    /// For how long they are good: they can start allocations for so long. A session that lasts
    /// gets new ones when three quarters of it are over.
    pub ttl: Duration,
}
