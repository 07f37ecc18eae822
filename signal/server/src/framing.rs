//! The server's side of WebSocket framing (RFC 6455 §5), without IO: bytes in, messages out.
//!
//! Holds memory only for what has begun to come and isn't whole, so that a quiet connection holds
//! none.

use signal_core::protocol::CloseCode;

/// What the client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A whole text message.
    Text(String),
    /// A whole binary message; what is in it is nobody's business.
    Binary,
    /// A ping with what the pong must carry.
    Ping(Box<[u8]>),
    Pong,
    /// A part of a message that isn't whole yet.
    Part,
    /// A close frame, with a code or without.
    Close(Option<u16>),
}

/// Takes a client's bytes apart.
#[derive(Debug)]
pub(crate) struct Decoder {
    message_bytes_max: usize,
    /// Bytes that came and are not used up yet; those before `used` are.
    bytes: Vec<u8>,
    used: usize,
    /// The message whose first frames have come.
    fragments: Option<Fragments>,
}

#[derive(Debug)]
struct Fragments {
    is_text: bool,
    bytes: Vec<u8>,
}

/// A frame's head (§5.2).
#[derive(Clone, Copy, Debug)]
struct Head {
    is_final: bool,
    kind: u8,
    mask: [u8; 4],
    payload_bytes: usize,
    /// How many bytes it has itself.
    bytes: usize,
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Of frames that may come between those of a message (§5.5).
const CONTROL_BYTES_MAX: usize = 125;

impl Decoder {
    pub(crate) fn new(message_bytes_max: usize) -> Self {
        Self { message_bytes_max, bytes: Vec::new(), used: 0, fragments: None }
    }

    /// Takes bytes that came, and gives the first message or part of one if it is whole: the next
    /// ones are to be had with no bytes.
    ///
    /// # Errors
    /// What the connection is to be closed with.
    pub(crate) fn decode(&mut self, came: &[u8]) -> Result<Option<Incoming>, CloseCode> {
        if self.bytes.is_empty() {
            let mut used = 0;
            let message = self.decode_from(came, &mut used);
            self.bytes.extend_from_slice(&came[used..]);
            return message;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(came);
        let mut used = self.used;
        let message = self.decode_from(&bytes, &mut used);
        (self.bytes, self.used) = if used < bytes.len() { (bytes, used) } else { (Vec::new(), 0) };
        if self.used >= COMPACT_BYTES {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        message
    }

    /// Whether there are bytes that may hold a whole message.
    pub(crate) fn has_more(&self) -> bool {
        self.used < self.bytes.len()
    }

    fn decode_from(
        &mut self,
        bytes: &[u8],
        used: &mut usize,
    ) -> Result<Option<Incoming>, CloseCode> {
        let rest = &bytes[*used..];
        let Some(head) = Head::read(rest)? else { return Ok(None) };
        self.check(head)?;
        let Some(masked) = rest.get(head.bytes..head.bytes + head.payload_bytes) else {
            return Ok(None);
        };
        *used += head.bytes + head.payload_bytes;
        self.handle_frame(head, unmasked(masked, head.mask)).map(Some)
    }

    /// Refuses a frame before it has come.
    fn check(&self, head: Head) -> Result<(), CloseCode> {
        let Head { is_final, kind, payload_bytes, .. } = head;
        let begun = self.fragments.as_ref().map(|fragments| fragments.bytes.len());
        let is_right = match kind {
            CONTINUATION => begun.is_some(),
            TEXT | BINARY => begun.is_none(),
            CLOSE | PING | PONG => is_final && payload_bytes <= CONTROL_BYTES_MAX,
            _ => false,
        };
        if !is_right {
            return Err(CloseCode::NotWebSocket);
        }
        match payload_bytes > self.message_bytes_max - begun.unwrap_or(0) {
            true => Err(CloseCode::TooBig),
            false => Ok(()),
        }
    }

    fn handle_frame(&mut self, head: Head, payload: Vec<u8>) -> Result<Incoming, CloseCode> {
        Ok(match (head.kind, head.is_final, self.fragments.take()) {
            (CLOSE, ..) => Incoming::Close(close_code(&payload)?),
            (PING, _, fragments) => {
                self.fragments = fragments;
                Incoming::Ping(payload.into())
            }
            (PONG, _, fragments) => {
                self.fragments = fragments;
                Incoming::Pong
            }
            (_, true, None) => whole(head.kind == TEXT, payload)?,
            (_, is_final, Some(Fragments { is_text, mut bytes })) => {
                bytes.extend_from_slice(&payload);
                if is_final {
                    return whole(is_text, bytes);
                }
                self.fragments = Some(Fragments { is_text, bytes });
                Incoming::Part
            }
            (kind, false, None) => {
                self.fragments = Some(Fragments { is_text: kind == TEXT, bytes: payload });
                Incoming::Part
            }
        })
    }
}

/// So many used bytes are not kept before others.
const COMPACT_BYTES: usize = 4096;

impl Head {
    /// Reads a head; nothing if it isn't whole.
    fn read(bytes: &[u8]) -> Result<Option<Self>, CloseCode> {
        let &[first, second, ..] = bytes else { return Ok(None) };
        // Nobody has agreed on extensions; a client must mask (§5.1).
        if first & 0x70 != 0 || second & MASKED == 0 {
            return Err(CloseCode::NotWebSocket);
        }
        let (length, mask_at) = match (second & !MASKED, bytes) {
            (126, &[_, _, a, b, ..]) => (u64::from(u16::from_be_bytes([a, b])), 4),
            (127, &[_, _, a, b, c, d, e, f, g, h, ..]) => {
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 10)
            }
            (126 | 127, _) => return Ok(None),
            (length, _) => (u64::from(length), 2),
        };
        let Some(mask) = bytes[mask_at..].first_chunk() else { return Ok(None) };
        // What doesn't fit is too big for any limit.
        let payload_bytes = usize::try_from(length).unwrap_or(usize::MAX);
        let (is_final, kind) = (first & FINAL != 0, first & 0x0F);
        let bytes = mask_at + mask.len();
        Ok(Some(Self { is_final, kind, mask: *mask, payload_bytes, bytes }))
    }
}

fn unmasked(masked: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = masked.to_vec();
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    bytes
}

fn whole(is_text: bool, bytes: Vec<u8>) -> Result<Incoming, CloseCode> {
    if !is_text {
        return Ok(Incoming::Binary);
    }
    String::from_utf8(bytes).map(Incoming::Text).map_err(|_| CloseCode::NotUtf8)
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, CloseCode> {
    match payload {
        [] => Ok(None),
        [_] => Err(CloseCode::NotWebSocket),
        [high, low, reason @ ..] => match str::from_utf8(reason) {
            Ok(_) => Ok(Some(u16::from_be_bytes([*high, *low]))),
            Err(_) => Err(CloseCode::NotUtf8),
        },
    }
}

/// The longest head of a frame to the client.
pub(crate) const HEAD_BYTES_MAX: usize = 10;

/// Appends a text frame, whose text `write` appends.
pub(crate) fn write_text(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    const HEAD_BYTES: usize = 4;
    let begin = out.len();
    out.extend_from_slice(&[FINAL | TEXT, 126, 0, 0]);
    write(out);
    let length = out.len() - begin - HEAD_BYTES;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..126), _) => {
            out[begin + 1] = length;
            out.copy_within(begin + HEAD_BYTES.., begin + 2);
            out.truncate(out.len() - 2);
        }
        (_, Ok(length)) => out[begin + 2..][..2].copy_from_slice(&length.to_be_bytes()),
        _ => {
            let length = (length as u64).to_be_bytes();
            out[begin + 1] = 127;
            out.splice(begin + 2..begin + HEAD_BYTES, length);
        }
    }
}

/// Appends a ping without payload.
pub(crate) fn write_ping(out: &mut Vec<u8>) {
    out.extend_from_slice(&[FINAL | PING, 0]);
}

/// Appends the answer to a ping.
pub(crate) fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write_control(out, PONG, payload);
}

/// Appends a close frame.
pub(crate) fn write_close(out: &mut Vec<u8>, code: u16, text: &str) {
    let [high, low] = code.to_be_bytes();
    write_control(out, CLOSE, &[&[high, low], text.as_bytes()].concat());
}

/// Appends the answer to a close frame: the same code if a client may use it, 1002 if not
/// (§7.4).
pub(crate) fn write_close_answer(out: &mut Vec<u8>, code: Option<u16>) {
    match code {
        None => write_control(out, CLOSE, &[]),
        Some(code @ (1000..=1003 | 1007..=1014 | 3000..=4999)) => write_close(out, code, ""),
        Some(_) => write_close(out, CloseCode::NotWebSocket.number(), ""),
    }
}

fn write_control(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    out.extend_from_slice(&[FINAL | kind, payload.len() as u8]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..126 => bytes.push(MASKED | length as u8),
            length @ 126..65_536 => {
                bytes.push(MASKED | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(MASKED | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(unmasked(payload, MASK));
        bytes
    }

    /// All messages in these bytes, fed in pieces of so many.
    fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Incoming>, CloseCode> {
        let (mut decoder, mut all) = (Decoder::new(70_000), Vec::new());
        for piece in bytes.chunks(piece) {
            all.extend(decoder.decode(piece)?);
            while decoder.has_more() {
                match decoder.decode(&[])? {
                    Some(message) => all.push(message),
                    None => break,
                }
            }
        }
        Ok(all)
    }

    fn text(text: &str) -> Incoming {
        Incoming::Text(text.to_owned())
    }

    #[test]
    fn messages_are_the_same_however_the_bytes_come() {
        let long = "ä".repeat(33_000);
        let bytes = [
            frame(0x81, b"hello"),
            frame(0x01, b"a"),
            frame(0x89, b"ping"),
            frame(0x00, b"b"),
            frame(0x80, b"c"),
            frame(0x8A, b""),
            frame(0x82, b"\xFF"),
            frame(0x81, long.as_bytes()),
            frame(0x81, b""),
            frame(0x88, &[0x0F, 0xA0, b'x']),
        ]
        .concat();
        let expected = [
            text("hello"),
            Incoming::Part,
            Incoming::Ping(b"ping".as_slice().into()),
            Incoming::Part,
            text("abc"),
            Incoming::Pong,
            Incoming::Binary,
            text(&long),
            text(""),
            Incoming::Close(Some(4000)),
        ];
        for piece in [1, 2, 7, 1000, bytes.len()] {
            assert_eq!(decode(&bytes, piece).unwrap(), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn a_quiet_connection_holds_no_memory() {
        let mut decoder = Decoder::new(100);
        let bytes = [frame(0x81, b"one"), frame(0x81, b"two")].concat();
        assert_eq!(decoder.decode(&bytes), Ok(Some(text("one"))));
        assert_eq!(decoder.decode(&[]), Ok(Some(text("two"))));
        assert_eq!(decoder.bytes.capacity(), 0);
    }

    #[test]
    fn what_is_no_websocket_is_refused_as_soon_as_it_shows() {
        let wrong = Err(CloseCode::NotWebSocket);
        for bad in [
            &[0x81, 0x00][..],
            &[0xC1, 0x80],
            &frame(0x80, b"nothing to go on with"),
            &[frame(0x01, b"a"), frame(0x81, b"b")].concat(),
            &frame(0x83, b""),
            &frame(0x09, b""),
            &frame(0x89, &[0; 126])[..8],
            &frame(0x88, b"x"),
        ] {
            assert_eq!(decode(bad, bad.len()), wrong, "{bad:x?}");
        }
        assert_eq!(decode(&frame(0x81, b"\xFF"), 100), Err(CloseCode::NotUtf8));
        assert_eq!(decode(&frame(0x88, b"\x03\xE8\xFF"), 100), Err(CloseCode::NotUtf8));
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_head() {
        let too_big = Err(CloseCode::TooBig);
        assert_eq!(decode(&frame(0x81, &[b'x'; 70_001])[..14], 14), too_big);
        let huge = [&[0x81, 0xFF][..], &[0xFF; 8], &MASK].concat();
        assert_eq!(decode(&huge, 14), too_big);
        let parts = [frame(0x01, &[b'x'; 70_000]), frame(0x80, b"x")].concat();
        assert_eq!(decode(&parts, parts.len()), too_big);
    }

    #[test]
    fn frames_to_the_client_have_the_shortest_head() {
        for (length, head) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = b"before".to_vec();
            write_text(&mut out, |out| out.extend(vec![b'x'; length]));
            assert_eq!(out, [b"before", head, &vec![b'x'; length]].concat(), "{length}");
        }
    }

    #[test]
    fn a_close_frame_is_answered_with_a_code_that_may_be_sent() {
        for (code, answer) in [
            (None, &[0x88, 0][..]),
            (Some(1000), &[0x88, 2, 0x03, 0xE8]),
            (Some(4000), &[0x88, 2, 0x0F, 0xA0]),
            (Some(1005), &[0x88, 2, 0x03, 0xEA]),
            (Some(0), &[0x88, 2, 0x03, 0xEA]),
        ] {
            let mut out = Vec::new();
            write_close_answer(&mut out, code);
            assert_eq!(out, answer, "{code:?}");
        }
    }
}
