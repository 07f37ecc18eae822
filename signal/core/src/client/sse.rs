//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), read as
//! far as our server writes them: each event's data is one frame.

/// Reads a stream of events, however it is cut.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    /// What has come of the last line.
    line: Vec<u8>,
    /// What has come of the last event.
    data: String,
}

impl EventReader {
    /// Takes the next bytes, and gives the data of the events that they complete.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8_lossy(&line);
                events.extend(self.take(line.trim_end_matches(['\n', '\r'])));
            }
        }
        events
    }

    /// How much is held of what isn't complete.
    pub(super) fn held_bytes(&self) -> usize {
        self.line.len() + self.data.len()
    }

    fn take(&mut self, line: &str) -> Option<String> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then_some(data);
        }
        // Comments, ids (each frame has its own) and pauses say nothing more.
        let data = line.strip_prefix("data:")?;
        if !self.data.is_empty() {
            self.data.push('\n');
        }
        self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_the_stream_is_cut() {
        let stream =
            ": hello\n\nid: 1\ndata: {\"a\":1}\n\nretry: 5\nid: 2\r\ndata:{\r\ndata: }\r\n\r\n";
        let expected = ["{\"a\":1}", "{\n}"];
        for step in 1..stream.len() {
            let mut reader = EventReader::default();
            let chunks = stream.as_bytes().chunks(step);
            let events: Vec<String> = chunks.flat_map(|chunk| reader.read(chunk)).collect();
            assert_eq!(events, expected, "{step}");
            assert_eq!(reader.held_bytes(), 0);
        }
    }
}
