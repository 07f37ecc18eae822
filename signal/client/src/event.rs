//! What a room tells the program.

use crate::{Channel, Error, Path, Peer, Trouble};
use bytes::Bytes;
use signal_core::PeerId;
use signal_core::client::RoomEvent;
use signal_core::protocol::LeaveReason;

/// Something happened in the room.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A peer is in the room; it is being connected to. Comes first of all events about a peer.
    PeerJoined(Peer),
    /// Both channels to the peer are open, for the first time or again.
    Connected {
        /// To whom.
        peer: Peer,
        /// The way the packets take.
        path: Path,
    },
    /// The peer can't be reached, though it is in the room. `Connected` follows if it can be again.
    Disconnected {
        /// Who.
        peer: Peer,
        /// Why.
        trouble: Trouble,
    },
    /// The packets to the peer take another way than before.
    PathChanged {
        /// To whom.
        peer: Peer,
        /// The way from now on.
        path: Path,
    },
    /// The peer sent a message.
    Message {
        /// The sender.
        peer: Peer,
        /// Over which channel.
        channel: Channel,
        /// The message.
        data: Data,
    },
    /// The peer has opened a channel.
    ChannelOpened {
        /// Who.
        peer: Peer,
        /// Which one.
        channel: Channel,
    },
    /// The peer has joined anew, and is still the same over the same connection: its channels go
    /// on. Only its [id](Peer::id) is another one.
    PeerRejoined {
        /// Who.
        peer: Peer,
        /// What its id was before.
        before: PeerId,
    },
    /// The peer has lost its connection to the server, and may come back. Its peer connection isn't
    /// touched by that.
    PeerAway(Peer),
    /// The peer has its connection to the server again.
    PeerBack(Peer),
    /// The peer is no longer in the room, and its connection is torn down. Comes last of all events
    /// about a peer.
    ///
    /// A peer that has lost the server, but is still connected, is still there: this comes when the
    /// connection ends too.
    PeerLeft {
        /// Who.
        peer: Peer,
        /// Why.
        reason: LeaveReason,
    },
    /// The room tells more than who is in it: its host, its state, its rules, what was said to
    /// several.
    Room(RoomEvent),
    /// The connection to the server is lost, and tried to be had again. Peer connections stay open,
    /// but nobody new is announced meanwhile. One of the following three comes next.
    SignalingLost(Error),
    /// The connection to the server is there again, and nothing was lost.
    SignalingResumed,
    /// The connection to the server is there again, but the server knows nothing of us any more: we
    /// have joined anew, with another peer id. Peer connections stay open, and so do the peers at
    /// their other ends, even if they have joined anew as well ([`Event::PeerRejoined`]).
    SignalingRejoined {
        /// Our own peer id from now on.
        peer_id: PeerId,
    },
    /// The connection to the server has ended for good. Peer connections stay open.
    SignalingEnded(Error),
}

/// A message as text or bytes: data channels tell them apart, and so do browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A `string` in browsers.
    Text(String),
    /// An `ArrayBuffer` in browsers.
    Binary(Bytes),
}

impl Data {
    /// The bytes, of a text its UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }
}

impl From<&str> for Data {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Data {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Data {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Data {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}
