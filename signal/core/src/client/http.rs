//! A session's frames over plain HTTP (docs/protocol.md, "Without WebSocket"), without IO: to its
//! session it looks like any other connection.

use super::Transport;
use super::sse::EventReader;
use crate::protocol::{ClientFrame, ClientMessage, ServerFrame, ServerMessage};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::fmt;

/// How many frames go into one request.
const FRAMES_MAX: usize = 64;

/// The largest answer, or event, that is taken: as large as the largest frame, a `welcome` that
/// names a whole room.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A connection of requests.
///
/// Who makes the requests does what [`poll_output`](Self::poll_output) says after each call, and
/// says by `handle_*` what comes of it.
#[derive(Debug)]
pub struct HttpLine {
    transport: Transport,
    /// The session, once it is known.
    held: Option<Held>,
    /// Frames that wait for the request under way.
    waiting: VecDeque<String>,
    is_sending: bool,
    is_listening: bool,
    events: EventReader,
    outputs: VecDeque<HttpOutput>,
}

struct Held {
    name: String,
    key: String,
    /// The number of the last frame that came.
    seq: u64,
    attempt: Option<u64>,
}

/// Leaves out the key.
impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is to be done, in the order given.
#[derive(Debug, PartialEq, Eq)]
pub enum HttpOutput {
    /// Make this request, and say what comes of it with
    /// [`handle_sent`](HttpLine::handle_sent).
    Send(HttpRequest),
    /// Make this request, and say what comes of it with [`handle_part`](HttpLine::handle_part) and
    /// [`handle_heard`](HttpLine::handle_heard).
    Listen(HttpRequest),
    /// A frame of the server.
    Frame(String),
    /// The connection is lost: why.
    Broken(String),
}

/// A request.
#[derive(PartialEq, Eq)]
pub struct HttpRequest {
    /// What to do.
    pub method: Method,
    /// Path and query, relative to where the server is: `v1/send?session=…`.
    pub path: String,
    /// For the header `Authorization: Bearer KEY`.
    pub key: Option<String>,
    /// JSON.
    pub body: Option<String>,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Sends the body.
    Post,
    /// Takes back.
    Delete,
}

impl Method {
    /// Its name (RFC 9110 §9).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Leaves out the key, and what is said.
impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest").field("path", &self.path).finish_non_exhaustive()
    }
}

impl HttpLine {
    /// A connection of this kind, which listens by [`Transport::Events`] or by polling.
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            held: None,
            waiting: VecDeque::new(),
            is_sending: false,
            is_listening: false,
            events: EventReader::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Gives out the next thing to do.
    pub fn poll_output(&mut self) -> Option<HttpOutput> {
        self.outputs.pop_front()
    }

    /// Whether all that the session said is on its way.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        !self.is_sending && self.waiting.is_empty()
    }

    /// Takes a frame of the session.
    pub fn send(&mut self, text: String) {
        match ClientMessage::parse(&text).map(|message| message.frame) {
            Ok(ClientFrame::Resume { session, key, seq, attempt }) => {
                let (name, key) = (session.into_owned(), key.into_owned());
                self.held = Some(Held { name, key, seq, attempt });
                self.listen();
            }
            Ok(ClientFrame::Hello { .. }) => {
                // What is still to come is of the session before.
                (self.held, self.is_listening, self.events) = (None, false, EventReader::default());
                self.outputs.retain(|output| !matches!(output, HttpOutput::Frame(_)));
                self.is_sending = true;
                let request = HttpRequest::post("v1/send".to_owned(), None, text);
                self.outputs.push_back(HttpOutput::Send(request));
            }
            Ok(_) | Err(_) => {
                self.waiting.push_back(text);
                self.send_waiting();
            }
        }
    }

    /// Takes the answer to what was sent.
    pub fn handle_sent(&mut self, status: u16, body: &str) {
        self.is_sending = false;
        let is_hello = self.held.is_none();
        match serde_json::from_str::<Vec<&RawValue>>(body) {
            // What was carried out is said where refusals are too: by what is listened to.
            Ok(frames) => {
                let frames = frames.into_iter().map(RawValue::get);
                frames.filter(|frame| !is_ack(frame)).for_each(|frame| self.take(frame));
            }
            // The session knows what to make of a refused seat.
            Err(_) if is_hello && is_frame(body) => self.take(body),
            Err(_) => return self.break_off(&format!("a request was answered with {status}")),
        }
        if is_hello && self.held.is_some() {
            self.listen();
        }
        self.send_waiting();
    }

    /// Whether an answer with this status is taken whole, rather than in parts as it comes.
    #[must_use]
    pub fn is_whole(&self, status: u16) -> bool {
        self.transport == Transport::Poll || status != 200
    }

    /// Takes the next bytes of what the server says while it is listened to.
    pub fn handle_part(&mut self, status: u16, bytes: &[u8]) {
        if self.held.is_none() {
            return;
        }
        if !self.is_whole(status) {
            for frame in self.events.read(bytes) {
                self.take(&frame);
            }
        }
        if self.events.held_bytes() > ANSWER_BYTES_MAX {
            self.break_off("an event is too large");
        }
    }

    /// The server has said all that it had to say: `body` is the whole of it, if it is
    /// [taken whole](Self::is_whole).
    pub fn handle_heard(&mut self, status: u16, body: &str) {
        if self.held.is_none() {
            return;
        }
        self.is_listening = false;
        if !self.is_whole(status) {
            return self.break_off("the stream of events ended");
        }
        match serde_json::from_str::<Vec<&RawValue>>(body) {
            Ok(frames) => {
                frames.into_iter().for_each(|frame| self.take(frame.get()));
                self.listen();
            }
            Err(_) if is_frame(body) => self.take(body),
            Err(_) => self.break_off(&format!("a request was answered with {status}")),
        }
    }

    /// A request wasn't answered: why.
    pub fn handle_failed(&mut self, why: &str) {
        self.break_off(why);
    }

    fn send_waiting(&mut self) {
        let Some(held) = &self.held else { return };
        if self.is_sending || self.waiting.is_empty() {
            return;
        }
        self.is_sending = true;
        let frames = self.waiting.len().min(FRAMES_MAX);
        let frames: Vec<String> = self.waiting.drain(..frames).collect();
        let path = format!("v1/send?session={}", held.name);
        let body = format!("[{}]", frames.join(","));
        let request = HttpRequest::post(path, Some(held.key.clone()), body);
        self.outputs.push_back(HttpOutput::Send(request));
    }

    fn listen(&mut self) {
        let Some(held) = &mut self.held else { return };
        if self.is_listening {
            return;
        }
        self.is_listening = true;
        let kind = if self.transport == Transport::Events { "events" } else { "poll" };
        let attempt = held.attempt.map(|attempt| format!("&attempt={attempt}"));
        let path = format!(
            "v1/{kind}?session={}&seq={}{}",
            held.name,
            held.seq,
            attempt.unwrap_or_default()
        );
        let request = HttpRequest::get(path, Some(held.key.clone()));
        self.outputs.push_back(HttpOutput::Listen(request));
    }

    /// Passes a frame on, and takes note of what the requests need to know.
    fn take(&mut self, text: &str) {
        if let Ok(message) = ServerMessage::parse(text) {
            if let ServerFrame::Welcome(welcome) = &message.frame {
                let (name, key) = (welcome.session.to_string(), welcome.key.to_string());
                self.held = Some(Held { name, key, seq: 0, attempt: None });
            }
            if let (Some(held), Some(seq)) = (&mut self.held, message.seq) {
                held.seq = held.seq.max(seq);
            }
        }
        self.outputs.push_back(HttpOutput::Frame(text.to_owned()));
    }

    fn break_off(&mut self, why: &str) {
        self.outputs.push_back(HttpOutput::Broken(why.to_owned()));
    }
}

fn is_ack(frame: &str) -> bool {
    matches!(ServerFrame::parse(frame), Ok(ServerFrame::Ack { .. }))
}

fn is_frame(body: &str) -> bool {
    ServerFrame::parse(body).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELCOME: &str = concat!(
        r#"{"seq":1,"type":"welcome","room":"demo","peer":"me","session":"demo:me","key":"k","#,
        r#""grace_s":30,"members":[],"ice_servers":[],"ice_ttl_s":0,"#,
        r#""heartbeat":{"interval_s":4,"timeout_s":9},"limits":{"frame_bytes_max":1,"#,
        r#""metadata_bytes_max":1,"members_max":1,"unacked_frames_max":1,"unacked_bytes_max":1}}"#
    );

    fn request(path: &str, body: Option<&str>) -> HttpRequest {
        let key = path.contains("session").then(|| "k".to_owned());
        match body {
            Some(body) => HttpRequest::post(path.to_owned(), key, body.to_owned()),
            None => HttpRequest::get(path.to_owned(), key),
        }
    }

    fn outputs(line: &mut HttpLine) -> Vec<HttpOutput> {
        std::iter::from_fn(|| line.poll_output()).collect()
    }

    #[test]
    fn a_seat_is_asked_for_and_then_listened_to_while_one_request_at_a_time_says_something() {
        let mut line = HttpLine::new(Transport::Poll);
        let hello = r#"{"type":"hello","room":"demo"}"#;
        line.send(hello.to_owned());
        assert_eq!(outputs(&mut line), [HttpOutput::Send(request("v1/send", Some(hello)))]);
        line.handle_sent(200, &format!("[{WELCOME}]"));
        let poll =
            |seq| HttpOutput::Listen(request(&format!("v1/poll?session=demo:me&seq={seq}"), None));
        assert_eq!(outputs(&mut line), [HttpOutput::Frame(WELCOME.to_owned()), poll(1)]);
        let ping = r#"{"type":"ping"}"#;
        for _ in 0..3 {
            line.send(ping.to_owned());
        }
        let send = |body| HttpOutput::Send(request("v1/send?session=demo:me", Some(body)));
        assert_eq!(outputs(&mut line), [send(r#"[{"type":"ping"}]"#)]);
        line.handle_sent(200, r#"[{"type":"pong"},{"type":"ack","ack":0}]"#);
        let pong = HttpOutput::Frame(r#"{"type":"pong"}"#.to_owned());
        assert_eq!(outputs(&mut line), [pong, send(r#"[{"type":"ping"},{"type":"ping"}]"#)]);
        assert!(!line.is_sent());
        line.handle_sent(200, "[]");
        assert!(line.is_sent());
        let away = r#"{"seq":2,"type":"away","peer":"bob"}"#;
        line.handle_heard(200, &format!("[{away}]"));
        assert_eq!(outputs(&mut line), [HttpOutput::Frame(away.to_owned()), poll(2)]);
    }

    #[test]
    fn a_session_is_resumed_by_listening_and_a_refusal_is_the_answer() {
        let mut line = HttpLine::new(Transport::Events);
        let resume = r#"{"type":"resume","session":"demo:me","key":"k","seq":7,"attempt":2}"#;
        line.send(resume.to_owned());
        let listen = request("v1/events?session=demo:me&seq=7&attempt=2", None);
        assert_eq!(outputs(&mut line), [HttpOutput::Listen(listen)]);
        line.handle_part(200, b"data: {\"type\":\"resumed\",\"ack\":0}\n");
        assert_eq!(outputs(&mut line), []);
        line.handle_part(200, b"\n");
        let resumed = r#"{"type":"resumed","ack":0}"#.to_owned();
        assert_eq!(outputs(&mut line), [HttpOutput::Frame(resumed)]);
        line.handle_heard(200, "");
        assert!(matches!(&outputs(&mut line)[..], [HttpOutput::Broken(_)]));

        line.send(resume.to_owned());
        outputs(&mut line);
        let error = r#"{"type":"error","code":"no_such_session","text":"over","retry":false}"#;
        line.handle_heard(404, error);
        assert_eq!(outputs(&mut line), [HttpOutput::Frame(error.to_owned())]);
    }

    #[test]
    fn the_end_of_a_session_is_not_taken_for_that_of_the_next() {
        let mut line = HttpLine::new(Transport::Events);
        let resume = r#"{"type":"resume","session":"demo:me","key":"k","seq":7,"attempt":2}"#;
        line.send(resume.to_owned());
        outputs(&mut line);
        let (error, close) = (r#"{"type":"error"}"#, r#"{"type":"close","code":1000}"#);
        line.handle_part(200, format!("data: {error}\n\ndata: {close}\n\n").as_bytes());
        assert_eq!(line.poll_output(), Some(HttpOutput::Frame(error.to_owned())));
        let hello = r#"{"type":"hello","room":"demo"}"#;
        line.send(hello.to_owned());
        line.handle_heard(200, "");
        assert_eq!(outputs(&mut line), [HttpOutput::Send(request("v1/send", Some(hello)))]);
        line.handle_sent(200, &format!("[{WELCOME}]"));
        let listen = HttpOutput::Listen(request("v1/events?session=demo:me&seq=1", None));
        assert_eq!(outputs(&mut line), [HttpOutput::Frame(WELCOME.to_owned()), listen]);
    }

    #[test]
    fn what_is_no_answer_of_our_server_breaks_the_connection() {
        for line in [
            &mut HttpLine::new(Transport::Poll) as &mut HttpLine,
            &mut HttpLine::new(Transport::Events),
        ] {
            line.send(r#"{"type":"hello","room":"demo"}"#.to_owned());
            outputs(line);
            line.handle_sent(502, "<html>Bad Gateway</html>");
            assert!(matches!(&outputs(line)[..], [HttpOutput::Broken(_)]));
            line.handle_failed("refused");
            assert!(matches!(&outputs(line)[..], [HttpOutput::Broken(_)]));
        }
    }
}
