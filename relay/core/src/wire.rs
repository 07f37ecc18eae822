//! STUN and TURN on the wire (RFC 8489, RFC 8656): reading without a copy, writing without the
//! heap.
//!
//! Nothing here knows what a message means; that is the server's work.

mod address;
mod channel;
mod connection;
mod integrity;
mod message;
mod registry;
mod stream;
mod writer;

pub use address::{decode_xor_address, encode_xor_address};
pub use channel::{ChannelData, ChannelNumber};
pub use connection::ConnectionId;
pub use integrity::{Key, user_hash};
pub use message::{Attributes, Class, Message, TransactionId};
pub use registry::{ErrorCode, Method, PasswordAlgorithm, attribute};
pub use stream::{STREAM_MESSAGE_BYTES_MAX, is_data, stream_message_bytes};
pub use writer::Writer;
pub(crate) use writer::padding;

/// The second word of every STUN message. RFC 8489 §5.
pub const MAGIC_COOKIE: u32 = 0x2112_a442;

/// The length of the STUN header: type, length, cookie, transaction id. RFC 8489 §5.
pub const HEADER_BYTES: usize = 20;

/// What is wrong with the sender's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end before what they announce.
    #[error("the message is cut short")]
    Short,
    /// Bytes follow after the end that the header announces.
    #[error("bytes follow after the message")]
    Trailing,
    /// The first two bits aren't zero.
    #[error("the first two bits aren't those of STUN")]
    Type,
    /// The length isn't a multiple of four.
    #[error("the length isn't a multiple of four")]
    Length,
    /// The magic cookie isn't there: another protocol, or STUN before RFC 5389.
    #[error("the magic cookie is missing")]
    Cookie,
    /// An attribute reaches beyond the message.
    #[error("an attribute reaches beyond the message")]
    Attribute,
    /// MESSAGE-INTEGRITY hasn't 20 bytes, or MESSAGE-INTEGRITY-SHA256 not 16, 20, 24, 28 or 32.
    #[error("MESSAGE-INTEGRITY has a wrong length")]
    Integrity,
    /// FINGERPRINT has a wrong length or value, or isn't last.
    #[error("FINGERPRINT is wrong or isn't last")]
    Fingerprint,
    /// A channel number outside 0x4000-0x7FFF.
    #[error("no channel number")]
    Channel,
    /// An address of an unknown family, or of a wrong length.
    #[error("no address")]
    Address,
    /// A message in a stream that is longer than there is room for.
    #[error("the message is too long")]
    TooLong,
}
