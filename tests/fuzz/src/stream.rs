//! Framing of a byte stream: where messages end doesn't depend on how the bytes arrive.

use crate::input::Input;
use relay_core::wire::{ChannelData, Malformed, Message, stream_message_bytes};

/// Cuts a stream into messages twice: all at once, and in pieces of the fuzzer's choice.
///
/// # Panics
/// If the two differ, or a message that was cut out is no whole message.
pub fn stream(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let most = usize::from(input.word()).max(4);
    let sizes: [u8; 8] = input.array();
    let stream = input.bytes(usize::MAX);
    let (messages, fault) = cut(stream, most);
    let mut buffer = Vec::new();
    let (mut seen, mut seen_fault) = (Vec::new(), None);
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        let (piece, later) =
            rest.split_at(usize::from(*size).clamp(1, rest.len().max(1)).min(rest.len()));
        buffer.extend(piece);
        let (more, fault) = cut(&buffer, most);
        let taken: usize = more.iter().map(Vec::len).sum();
        buffer.drain(..taken);
        seen.extend(more);
        seen_fault = seen_fault.or(fault);
        rest = later;
        if rest.is_empty() || seen_fault.is_some() {
            break;
        }
    }
    assert_eq!((seen, seen_fault), (messages, fault));
}

/// The whole messages at the front of `stream`, and what is wrong behind them.
fn cut(stream: &[u8], most: usize) -> (Vec<Vec<u8>>, Option<Malformed>) {
    let mut messages = Vec::new();
    let mut rest = stream;
    loop {
        let length = match stream_message_bytes(rest, most) {
            Ok(Some(length)) => length,
            Ok(None) => return (messages, None),
            Err(malformed) => return (messages, Some(malformed)),
        };
        assert!((4..=most).contains(&length) && length.is_multiple_of(4), "{length}");
        let Some((message, later)) = rest.split_at_checked(length) else {
            return (messages, None);
        };
        check(message);
        messages.push(message.to_vec());
        rest = later;
    }
}

fn check(message: &[u8]) {
    if message[0] >> 6 == 1 {
        assert!(ChannelData::parse(message).is_ok(), "framed ChannelData reads");
        return;
    }
    let fault = Message::parse(message).err();
    let is_framing = |fault| match fault {
        Malformed::Short | Malformed::Trailing | Malformed::Length => true,
        Malformed::Type | Malformed::Cookie | Malformed::TooLong => true,
        Malformed::Attribute | Malformed::Integrity | Malformed::Fingerprint => false,
        Malformed::Channel | Malformed::Address => false,
    };
    assert!(!fault.is_some_and(is_framing), "{fault:?}");
}
