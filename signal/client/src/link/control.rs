//! What two of our clients tell each other about their link, over a channel of its own
//! (docs/protocol.md): which other channels there are, and where each of them sits.

use crate::ChannelOptions;
use serde::{Deserialize, Serialize};

/// The channel's number and label.
pub(super) const CONTROL_ID: u16 = 2;
pub(super) const CONTROL_LABEL: &str = "heliograph";

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Make your end of a channel.
    Open {
        /// Its number.
        id: u16,
        label: String,
        options: ChannelOptions,
    },
    /// It is made.
    Opened(u16),
    /// It isn't made: why.
    Refused(u16, String),
    /// Close your end.
    Close(u16),
    /// It is closed.
    Closed(u16),
    /// The sender has this peer id from now on.
    Seat(String),
}

/// All fields of all messages.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Frame {
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<Open>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seat: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Open {
    id: u16,
    label: String,
    #[serde(flatten)]
    options: ChannelOptions,
}

impl Control {
    /// Reads a message; none if it is one that this version doesn't know.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match serde_json::from_str(text).ok()? {
            Frame { open: Some(Open { id, label, options }), .. } => {
                Some(Self::Open { id, label, options })
            }
            Frame { opened: Some(id), .. } => Some(Self::Opened(id)),
            Frame { refused: Some(id), text, .. } => {
                Some(Self::Refused(id, text.unwrap_or_default()))
            }
            Frame { close: Some(id), .. } => Some(Self::Close(id)),
            Frame { closed: Some(id), .. } => Some(Self::Closed(id)),
            Frame { seat: Some(seat), .. } => Some(Self::Seat(seat)),
            Frame { .. } => None,
        }
    }

    /// Writes a message.
    pub(super) fn encode(self) -> String {
        let none = Frame::default();
        let frame = match self {
            Self::Open { id, label, options } => {
                Frame { open: Some(Open { id, label, options }), ..none }
            }
            Self::Opened(id) => Frame { opened: Some(id), ..none },
            Self::Refused(id, text) => Frame { refused: Some(id), text: Some(text), ..none },
            Self::Close(id) => Frame { close: Some(id), ..none },
            Self::Closed(id) => Frame { closed: Some(id), ..none },
            Self::Seat(seat) => Frame { seat: Some(seat), ..none },
        };
        serde_json::to_string(&frame).expect("numbers and texts have a JSON form")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_as_the_protocol_says_and_read_back() {
        let open =
            Control::Open { id: 4, label: "state".to_owned(), options: ChannelOptions::LOSSY };
        for (message, text) in [
            (open, r#"{"open":{"id":4,"label":"state","ordered":false,"max_retransmits":0}}"#),
            (Control::Opened(4), r#"{"opened":4}"#),
            (Control::Refused(4, "twice".to_owned()), r#"{"refused":4,"text":"twice"}"#),
            (Control::Close(4), r#"{"close":4}"#),
            (Control::Closed(4), r#"{"closed":4}"#),
            (Control::Seat("bob".to_owned()), r#"{"seat":"bob"}"#),
        ] {
            assert_eq!(message.clone().encode(), text);
            assert_eq!(Control::parse(text), Some(message));
        }
        let bare = Control::parse(r#"{"open":{"id":5,"label":"x","new":1},"more":2}"#);
        let options = ChannelOptions::RELIABLE;
        assert_eq!(bare, Some(Control::Open { id: 5, label: "x".to_owned(), options }));
        assert_eq!(Control::parse(r#"{"dance":1}"#), None);
        assert_eq!(Control::parse("[]"), None);
    }
}
