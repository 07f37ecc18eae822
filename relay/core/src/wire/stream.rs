//! Where messages end in a byte stream: TCP and TLS have no datagrams. RFC 8489 §6.2.2, RFC 8656
//! §12.5.

use super::{HEADER_BYTES, MAGIC_COOKIE, Malformed, padding};

/// The most bytes that one message in a stream can have: what a length of 16 bits allows STUN.
pub const STREAM_MESSAGE_BYTES_MAX: usize = HEADER_BYTES + 0xfffc;

/// Reads how long the message is with which `stream` begins, padding included; nothing if more
/// bytes must come before that can be said.
///
/// The message need not be there whole: it is when `stream` is as long. Hand it then to
/// [`Server::handle`](crate::Server::handle), and go on behind it. `most` is the longest message
/// that the caller has room for, at most [`STREAM_MESSAGE_BYTES_MAX`].
///
/// RFC 8656 §12.5: "Over stream transports, the ChannelData message MUST be padded to a multiple of
/// four bytes in order to ensure the alignment of subsequent messages. The padding is not reflected
/// in the length field of the ChannelData message".
///
/// # Errors
/// What is wrong, as soon as it can be seen. The stream is then no STUN, or out of step for ever:
/// close it. [`Malformed::TooLong`] if the message is longer than `most`.
pub fn stream_message_bytes(stream: &[u8], most: usize) -> Result<Option<usize>, Malformed> {
    let Some(first) = stream.first() else {
        return Ok(None);
    };
    let bytes = match first >> 6 {
        0b00 => stun_bytes(stream)?,
        0b01 => channel_data_bytes(stream),
        _ => return Err(Malformed::Type),
    };
    match bytes {
        Some(bytes) if bytes > most => Err(Malformed::TooLong),
        bytes => Ok(bytes),
    }
}

/// Whether a message to a client carries data of a peer, by its first bytes: ChannelData or a Data
/// indication. Such a message may be dropped on a crowded way, like a datagram; an answer may not.
#[must_use]
pub fn is_data(head: &[u8]) -> bool {
    const DATA_INDICATION: [u8; 2] = [0x00, 0x17]; // RFC 8656 §17
    head.first().is_some_and(|first| first >> 6 == 0b01) || head.starts_with(&DATA_INDICATION)
}

fn stun_bytes(stream: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(&[_, _, l0, l1]) = stream.first_chunk() else {
        return Ok(None);
    };
    let length = u16::from_be_bytes([l0, l1]);
    if !length.is_multiple_of(4) {
        return Err(Malformed::Length);
    }
    let cookie = MAGIC_COOKIE.to_be_bytes();
    if !stream[4..].iter().zip(&cookie).all(|(got, right)| got == right) {
        return Err(Malformed::Cookie);
    }
    // Not before the cookie is there: what isn't STUN should not be waited for.
    let is_sure = stream.len() >= 4 + cookie.len();
    Ok(is_sure.then_some(HEADER_BYTES + usize::from(length)))
}

fn channel_data_bytes(stream: &[u8]) -> Option<usize> {
    let &[_, _, l0, l1] = stream.first_chunk()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    Some(4 + length + padding(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: [u8; 20] =
        [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn length(stream: &[u8]) -> Result<Option<usize>, Malformed> {
        stream_message_bytes(stream, STREAM_MESSAGE_BYTES_MAX)
    }

    #[test]
    fn the_length_of_stun_is_known_with_its_cookie() {
        for end in 0..8 {
            assert_eq!(length(&BINDING[..end]), Ok(None));
        }
        for end in 8..=20 {
            assert_eq!(length(&BINDING[..end]), Ok(Some(20)));
        }
        let two = [BINDING, BINDING].concat();
        assert_eq!(length(&two), Ok(Some(20)));
    }

    #[test]
    fn data_is_told_from_answers() {
        assert!(is_data(&[0x40, 0, 0, 0]) && is_data(&[0x00, 0x17, 0, 0]));
        assert!(!is_data(&[0x01, 0x03]) && !is_data(&[0x01, 0x13]) && !is_data(&[]));
    }

    #[test]
    fn channel_data_counts_with_its_padding() {
        for (data, bytes) in [(0, 4), (1, 8), (3, 8), (4, 8), (5, 12), (0xffff, 4 + 0x1_0000)] {
            let [high, low] = u16::to_be_bytes(data);
            assert_eq!(length(&[0x40, 0, high]), Ok(None));
            assert_eq!(length(&[0x40, 0, high, low]), Ok(Some(bytes)));
        }
    }

    #[test]
    fn what_is_no_stun_is_seen_at_once() {
        assert_eq!(length(&[0x80]), Err(Malformed::Type));
        assert_eq!(length(&[0xff]), Err(Malformed::Type));
        // The first bytes of TLS; "GET " has the first bits of ChannelData.
        assert_eq!(length(&[0x16, 3, 1, 2, 0, 1]), Err(Malformed::Length));
        assert_eq!(length(&[0, 1, 0, 3]), Err(Malformed::Length));
        assert_eq!(length(&[0, 1, 0, 0, 0x22]), Err(Malformed::Cookie));
    }

    #[test]
    fn a_message_longer_than_the_room_is_refused() {
        assert_eq!(stream_message_bytes(&[0x40, 0, 0, 97], 100), Err(Malformed::TooLong));
        assert_eq!(stream_message_bytes(&[0x40, 0, 0, 96], 100), Ok(Some(100)));
        assert_eq!(length(&[0, 1, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42]), Ok(Some(0x1_0010)));
    }
}
