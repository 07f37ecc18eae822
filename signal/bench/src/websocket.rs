//! The client's side of WebSocket framing (RFC 6455 §5), as little as a load needs: whole frames,
//! masked with a key of zeros, which the other side must unmask like any other.

/// The kinds of frames (RFC 6455 §5.2).
pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A frame from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) payload: &'a [u8],
}

/// The server's bytes are no frame that this client could be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoFrame;

/// The largest frame taken: a welcome to a room of 1,000 has 100 KiB.
const FRAME_BYTES_MAX: usize = 4 << 20;

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const MASK_BYTES: usize = 4;

/// Reads the first frame, and how many bytes it takes; nothing if it isn't whole yet.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, NoFrame> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 || first & FINAL == 0 || second & MASKED != 0 {
        return Err(NoFrame);
    }
    let (head, length) = match (second, bytes) {
        (126, &[_, _, a, b, ..]) => (4, usize::from(u16::from_be_bytes([a, b]))),
        (127, &[_, _, 0, 0, 0, 0, a, b, c, d, ..]) => {
            (10, u32::from_be_bytes([a, b, c, d]) as usize)
        }
        (126 | 127, _) if bytes.len() < 10 => return Ok(None),
        (127, _) => return Err(NoFrame),
        (length, _) => (2, usize::from(length)),
    };
    if length > FRAME_BYTES_MAX {
        return Err(NoFrame);
    }
    let end = head + length;
    let frame = |payload| (Frame { kind: first & 0x0F, payload }, end);
    Ok(bytes.get(head..end).map(frame))
}

/// A frame to the server that is being written. One is used again and again.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Room for the longest head, then the payload.
    bytes: Vec<u8>,
}

const HEAD_BYTES_MAX: usize = 4 + MASK_BYTES;

impl Writer {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; HEAD_BYTES_MAX] }
    }

    /// Starts a new frame, and gives the end of its payload.
    pub(crate) fn start(&mut self) -> &mut Vec<u8> {
        self.bytes.truncate(HEAD_BYTES_MAX);
        &mut self.bytes
    }

    /// The whole frame. A payload has at most 65,535 bytes.
    pub(crate) fn finish(&mut self, kind: u8) -> &[u8] {
        let length = self.bytes.len() - HEAD_BYTES_MAX;
        let begin = match u8::try_from(length) {
            Ok(length @ 0..126) => {
                self.bytes[2..4].copy_from_slice(&[FINAL | kind, MASKED | length]);
                2
            }
            _ => {
                let [high, low] = u16::try_from(length).expect("at most 65,535").to_be_bytes();
                self.bytes[..4].copy_from_slice(&[FINAL | kind, MASKED | 126, high, low]);
                0
            }
        };
        &self.bytes[begin..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_all_lengths_are_read_once_they_are_whole() {
        for (head, length) in [
            (&[0x81, 5][..], 5),
            (&[0x81, 126, 0, 200][..], 200),
            (&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], 65_536),
        ] {
            let bytes = [head, &vec![b'x'; length], b"next"].concat();
            let end = head.len() + length;
            for short in [0, 1, head.len() - 1, head.len(), end - 1] {
                assert_eq!(read(&bytes[..short]), Ok(None), "{short} of {length}");
            }
            let (frame, taken) = read(&bytes).unwrap().unwrap();
            assert_eq!((frame.kind, frame.payload.len(), taken), (TEXT, length, end));
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_no_frame() {
        for bad in [[0xC1, 0], [0x01, 0], [0x81, 0x80]] {
            assert_eq!(read(&bad), Err(NoFrame));
        }
        assert_eq!(read(&[0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0]), Err(NoFrame));
    }

    #[test]
    fn a_client_masks_with_zeros() {
        let mut writer = Writer::new();
        writer.start().extend_from_slice(b"hello");
        assert_eq!(writer.finish(TEXT), [&[0x81, 0x85, 0, 0, 0, 0][..], b"hello"].concat());
        writer.start().resize(HEAD_BYTES_MAX + 300, b'x');
        assert_eq!(writer.finish(TEXT)[..8], [0x81, 0xFE, 1, 44, 0, 0, 0, 0]);
        assert_eq!(writer.start().len(), HEAD_BYTES_MAX);
        assert_eq!(writer.finish(PONG), [0x8A, 0x80, 0, 0, 0, 0]);
    }
}
