//! What this crate lets wait, and for how long: every queue and every pause has its limit here.

use std::time::Duration;

/// To reach the server, and to upgrade to a WebSocket: each may take so long.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// To answer a request that stands for itself.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// To answer a request that waits until something has become of a ticket: what the server takes at
/// most (25 s), and time on the way.
pub(crate) const TICKET_TIMEOUT: Duration = Duration::from_secs(35);

/// How often the server is asked over a WebSocket whether it is still there, while a ticket waits.
pub(crate) const TICKET_PING: Duration = Duration::from_secs(4);

/// For how long nothing may have come by then.
pub(crate) const TICKET_SILENCE_MAX: Duration = Duration::from_secs(9);

/// For how long a leaving client waits for the server's close frame.
pub(crate) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest frame taken from the server: a welcome that names 1,024 members with 1 KiB of
/// metadata each, and room.
pub(crate) const SERVER_FRAME_BYTES_MAX: usize = 4 << 20;

/// Signals of all links that wait for the session, which takes no more while the server hasn't
/// acknowledged those it has; when full, a link waits with its next one.
pub(crate) const SIGNALS_OUT_MAX: usize = 256;

/// What the program asks of its room and that waits for the room's task; then who asks waits.
pub(crate) const COMMANDS_MAX: usize = 64;

/// What share of a token's time may be over until a newer one is asked for, in quarters.
pub(crate) const TOKEN_QUARTERS: u32 = 3;

/// After what time the token's source is asked again if it had none, or none that is taken.
pub(crate) const TOKEN_PAUSE: Duration = Duration::from_secs(5);

/// What waits for one link: signals from its peer and notices of its connection. When full, a
/// signal is dropped, since one peer must not hold up the others.
pub(crate) const LINK_INPUTS_MAX: usize = 512;

/// Candidates of one peer that wait for its description; more are dropped.
pub(crate) const CANDIDATES_HELD_MAX: usize = 128;

/// Messages that wait for the program. When so many wait, lossy ones are dropped (and counted) and
/// reliable ones are left in SCTP's window, which stops their sender.
pub(crate) const MESSAGES_WAITING_MAX: usize = 1024;

/// Events of all kinds that wait for the program. One that lets so many wait has stopped to read:
/// the room is left.
pub(crate) const EVENTS_WAITING_MAX: usize = 16 << 10;

/// Bytes of one channel that are on their way: sent and not yet acknowledged.
pub(crate) const SEND_BUFFER_BYTES: usize = 256 << 10;

/// Bytes that wait behind them, or for a reliable channel to open: then a sender waits, or is
/// refused.
pub(crate) const WAITING_BYTES_MAX: usize = 256 << 10;

/// The same for a lossy channel, whose messages are soon out of date: then they are left out.
pub(crate) const LOSSY_WAITING_BYTES_MAX: usize = 64 << 10;

/// The largest message, as long as the peer's limit isn't known: what all take (RFC 8841 §6.1).
pub(crate) const MESSAGE_BYTES_MAX_UNKNOWN: usize = 64 << 10;

/// Named channels of one link, of both sides together.
pub(crate) const CHANNELS_MAX: usize = 64;

/// The longest label of one.
pub(crate) const LABEL_BYTES_MAX: usize = 128;

/// For how long what the other side sent before it closed a channel may still come.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a new link may take until it is reported as failing. It goes on trying.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// For how long a peer that isn't known is not connected to while there are open links of which it
/// isn't known where their far ends sit now: it may be one of them.
pub(crate) const CLAIM_WAIT: Duration = Duration::from_secs(2);

/// Signals of another connection of the peer that are kept while the one we have with it is open.
pub(crate) const SIGNALS_ASIDE_MAX: usize = 64;

/// The longest pause before an ICE restart of a connection that isn't open: the first one, and that
/// up to which it doubles.
pub(crate) const RESTART_PAUSE: Duration = Duration::from_secs(1);
pub(crate) const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How much longer the side that doesn't make the first offer leaves a restart to the other.
pub(crate) const RESTART_GRACE: Duration = Duration::from_secs(3);

/// For how long nothing may have come until ICE is restarted.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How long after a report of a link the next one goes to the server; the newest wins.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Servers that gave no address, in a report: the last ones.
pub(crate) const CANDIDATE_ERRORS_MAX: usize = 4;

/// How many connectivity checks must have been sent until their loss says something.
pub(crate) const LOSS_CHECKS_MIN: u64 = 5;

/// How often the path, the round trip and the loss of a link are looked at.
pub(crate) const MEASURE_INTERVAL: Duration = Duration::from_secs(2);
