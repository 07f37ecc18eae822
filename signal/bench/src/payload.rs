//! What signals carry: JSON as browsers make it, with a number and a time in it.
//!
//! The keys stand in the order of the alphabet and there are no blanks, so that a server that takes
//! the payload apart and writes it anew comes to the same bytes.

/// A payload of one length, to be filled in and sent, or compared with what came.
#[derive(Debug)]
pub(crate) struct Payload {
    bytes: Vec<u8>,
    slot: usize,
}

/// What a payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Counts the signals of one sender to one addressee.
    pub(crate) number: u64,
    /// When it was sent, by the load's clock.
    pub(crate) sent_ns: u64,
}

/// Two numbers of 19 digits.
const DIGITS: usize = 19;
const SLOT_BYTES: usize = 2 * DIGITS + 1;

impl Payload {
    /// An ICE candidate of so many bytes.
    pub(crate) fn candidate(bytes: usize) -> Self {
        let begin = r#"{"candidate":{"candidate":""#;
        let end = r#" typ host","sdpMLineIndex":0,"sdpMid":"0","usernameFragment":"x5Ha"}}"#;
        Self::new([begin, end], "candidate:842163049 1 udp 1677729535 ", bytes)
    }

    /// A session description of so many bytes.
    pub(crate) fn description(kind: &str, bytes: usize) -> Self {
        let end = format!(r#"","type":"{kind}"}}}}"#);
        let line = r"a=rtpmap:111 opus/48000/2\r\n";
        Self::new([r#"{"description":{"sdp":""#, &end], line, bytes)
    }

    fn new([begin, end]: [&str; 2], filling: &str, bytes: usize) -> Self {
        let mut text = begin.to_owned();
        let slot = text.len();
        text.push_str(&"0".repeat(SLOT_BYTES));
        let room = bytes.saturating_sub(text.len() + end.len());
        text.push_str(&filling.repeat(room / filling.len()));
        text.push_str(&"x".repeat(room % filling.len()));
        text.push_str(end);
        Self { bytes: text.into_bytes(), slot }
    }

    /// The bytes that say this.
    pub(crate) fn say(&mut self, Said { number, sent_ns }: Said) -> &[u8] {
        let slot = &mut self.bytes[self.slot..][..SLOT_BYTES];
        write(&mut slot[..DIGITS], number);
        slot[DIGITS] = b' ';
        write(&mut slot[DIGITS + 1..], sent_ns);
        &self.bytes
    }

    /// What these bytes say, if nothing else in them has changed.
    pub(crate) fn hear(&self, bytes: &[u8]) -> Option<Said> {
        let end = self.slot + SLOT_BYTES;
        let is_ours = bytes.len() == self.bytes.len()
            && bytes[..self.slot] == self.bytes[..self.slot]
            && bytes[end..] == self.bytes[end..];
        if !is_ours {
            return None;
        }
        let slot = &bytes[self.slot..end];
        let number = crate::json::number(&slot[..DIGITS])?;
        Some(Said { number, sent_ns: crate::json::number(&slot[DIGITS + 1..])? })
    }
}

fn write(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_of_its_length_and_says_what_it_was_told() {
        let said = Said { number: 7, sent_ns: 12_345_678_901 };
        for (mut payload, bytes) in [
            (Payload::candidate(300), 300),
            (Payload::candidate(200), 200),
            (Payload::description("offer", 2048), 2048),
        ] {
            let text = payload.say(said).to_vec();
            assert_eq!(text.len(), bytes);
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(value.to_string().as_bytes(), text, "written anew it is the same");
            assert_eq!(payload.hear(&text), Some(said));
            let mut other = text.clone();
            *other.last_mut().unwrap() = b'x';
            assert_eq!(payload.hear(&other), None);
        }
    }
}
