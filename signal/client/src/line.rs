//! What carries a session's frames: the last connection to the server.

use crate::Error;
use crate::place::Place;
use crate::platform::{Answer, Boxed, Http, Socket, now, sleep_until};
use bytes::Bytes;
use signal_core::client::{HttpLine, HttpOutput, HttpRequest, Transport};
use std::future::pending;
use std::time::Duration;

/// The last connection.
pub(crate) enum Line {
    Closed,
    Opening(Boxed<Result<Box<Socket>, Error>>),
    Open(Box<Socket>),
    Http(Box<Requests>),
}

/// What happened on a connection.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    Text(String),
    /// Something else came, such as a ping (already answered).
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "browsers hide pings"))]
    SignOfLife,
    /// The server doesn't speak the protocol: why.
    Unreadable(String),
    /// The server closed it.
    Closed {
        code: u16,
        text: String,
    },
    /// It broke: why.
    Broken(String),
    /// A request wasn't answered: why.
    Failed(Error),
}

/// What one look at the line has brought.
pub(crate) enum Turn {
    Opened(Result<Box<Socket>, Error>),
    Socket(SocketEvent),
    Timeout,
}

impl Line {
    /// Waits for what comes next. Cancel safe.
    pub(crate) async fn turn(&mut self) -> Turn {
        match self {
            Self::Closed => pending().await,
            Self::Opening(opening) => Turn::Opened(opening.await),
            Self::Open(socket) => Turn::Socket(socket.event().await),
            Self::Http(requests) => Turn::Socket(requests.event().await),
        }
    }
}

/// How long the goodbye of a session without a WebSocket may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection of requests.
pub(crate) struct Requests {
    line: HttpLine,
    http: Http,
    sending: Option<Boxed<Result<(u16, String), Error>>>,
    listening: Option<Boxed<Result<Heard, Error>>>,
    /// What has come of the answer that is listened to.
    heard: Vec<u8>,
}

impl Requests {
    pub(crate) fn new(transport: Transport, place: Place) -> Self {
        Self {
            line: HttpLine::new(transport),
            http: Http::new(place),
            sending: None,
            listening: None,
            heard: Vec::new(),
        }
    }

    /// Sends a frame; [`event`](Self::event) does it.
    pub(crate) fn send(&mut self, text: String) {
        self.line.send(text);
    }

    /// Waits for what comes. Cancel safe.
    pub(crate) async fn event(&mut self) -> SocketEvent {
        loop {
            while let Some(output) = self.line.poll_output() {
                match output {
                    HttpOutput::Send(request) => {
                        let http = self.http.clone();
                        self.sending = Some(Box::pin(async move { whole(http, &request).await }));
                    }
                    HttpOutput::Listen(request) => {
                        self.heard.clear();
                        let http = self.http.clone();
                        self.listening =
                            Some(Box::pin(
                                async move { next_part(http.fetch(&request).await?).await },
                            ));
                    }
                    HttpOutput::Frame(text) => return SocketEvent::Text(text),
                    HttpOutput::Broken(why) => return SocketEvent::Broken(why),
                }
            }
            tokio::select! {
                sent = next(&mut self.sending) => {
                    self.sending = None;
                    match sent {
                        Ok((status, body)) => self.line.handle_sent(status, &body),
                        Err(error) => return SocketEvent::Failed(error),
                    }
                }
                heard = next(&mut self.listening) => {
                    self.listening = None;
                    match heard {
                        Ok((answer, part)) => self.hear(answer, part),
                        Err(error) => return SocketEvent::Failed(error),
                    }
                }
            }
        }
    }

    /// Sends what waits to be sent; not for long.
    pub(crate) async fn finish(mut self) {
        let end = now() + GOODBYE_TIMEOUT;
        let rest = async {
            while !self.line.is_sent() {
                match self.event().await {
                    SocketEvent::Text(_) | SocketEvent::SignOfLife => {}
                    SocketEvent::Unreadable(_)
                    | SocketEvent::Closed { .. }
                    | SocketEvent::Broken(_)
                    | SocketEvent::Failed(_) => return,
                }
            }
        };
        tokio::select! {
            () = rest => {}
            () = sleep_until(end) => {}
        }
    }

    fn hear(&mut self, answer: Answer, part: Option<Bytes>) {
        let status = answer.status;
        let Some(part) = part else {
            let body = String::from_utf8_lossy(&std::mem::take(&mut self.heard)).into_owned();
            return self.line.handle_heard(status, &body);
        };
        self.line.handle_part(status, &part);
        if self.line.is_whole(status) {
            self.heard.extend_from_slice(&part);
        }
        if self.heard.len() > ANSWER_BYTES_MAX {
            return self.line.handle_failed("an answer is too large");
        }
        self.listening = Some(Box::pin(next_part(answer)));
    }
}

/// A part of an answer, and the answer, of which there may be more.
type Heard = (Answer, Option<Bytes>);

/// The largest answer: a `welcome` that names a whole room, and room.
const ANSWER_BYTES_MAX: usize = crate::config::SERVER_FRAME_BYTES_MAX;

/// A future that may be there.
async fn next<T>(future: &mut Option<Boxed<T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn next_part(mut answer: Answer) -> Result<Heard, Error> {
    let part = answer.part().await?;
    Ok((answer, part))
}

/// Makes a request, and takes the whole answer: its status and its body.
pub(crate) async fn whole(http: Http, request: &HttpRequest) -> Result<(u16, String), Error> {
    let mut answer = http.fetch(request).await?;
    let mut body = Vec::new();
    while let Some(part) = answer.part().await? {
        body.extend_from_slice(&part);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(Error::Lost("an answer is too large".to_owned()));
        }
    }
    Ok((answer.status, String::from_utf8_lossy(&body).into_owned()))
}
