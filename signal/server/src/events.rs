//! `GET /v1/events`: a session's frames as server-sent events, for networks that don't let
//! WebSockets through. The id of an event is the number of its frame; what the client sends comes
//! by `POST /v1/send`.

use crate::access::{Asked, close_frame};
use crate::drain::Drain;
use crate::edges::{Edges, Ties};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Response, header};
use futures_util::stream;
use signal_core::protocol::CloseCode;
use signal_core::{End, FrameText, Purpose, Transmit};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::sleep;

/// `GET /v1/events?session=…&seq=N`, or with `Last-Event-ID`.
pub(crate) async fn events(State(edges): State<Arc<Edges>>, asked: Asked) -> Response<Body> {
    let (seq, ice) = (asked.cursor(), edges.ice(asked.local()));
    let resume = match asked.resume(Purpose::Listen { seq, ice, is_oneway: true }) {
        Ok(resume) => resume,
        Err(answer) => return *answer,
    };
    let origin = match asked.request(&edges).and_then(|_| asked.connect(&edges)) {
        Ok(origin) => origin,
        Err(answer) => return *answer,
    };
    let stopping = edges.stopping.subscribe();
    let ties = Ties::resuming(&edges, resume, origin);
    let state = Some(Stream { ties, stopping, is_new: true, told: None });
    let chunks = stream::unfold(state, |state| async move {
        let mut stream = state?;
        let (chunk, is_over) = stream.next().await;
        Some((Ok::<_, Infallible>(chunk), (!is_over).then_some(stream)))
    });
    stream_of(Body::from_stream(chunks))
}

/// An answer that is a stream of events.
pub(crate) fn stream_of(events: Body) -> Response<Body> {
    let mut response = Response::new(events);
    let fields = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would collect it otherwise.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[derive(Debug)]
struct Stream {
    ties: Ties,
    stopping: watch::Receiver<bool>,
    is_new: bool,
    /// The announced end that it was told of.
    told: Option<Arc<Drain>>,
}

impl Stream {
    /// The next bytes for the client, and whether they are the last.
    async fn next(&mut self) -> (Bytes, bool) {
        let Self { ties, stopping, is_new, told } = self;
        let edges = ties.edges.clone();
        let heartbeat = ties.edges.limits.heartbeat_interval;
        let mut text = String::new();
        if std::mem::take(is_new) {
            // How long an EventSource waits before it comes again.
            text.push_str("retry: 1000\n\n");
        }
        loop {
            ties.pass_requests().await;
            take_from(ties, &mut text);
            if let Some(end) = ties.edge.ended() {
                if let End::Close(code) = end {
                    write_event(&mut text, None, &close_frame(code));
                }
                ties.pass_requests().await;
                return (text.into(), true);
            }
            match ties.try_event() {
                Some(event) => ties.handle_event(event),
                None if !text.is_empty() => return (text.into(), false),
                None => tokio::select! {
                    event = ties.event(true) => ties.handle_event(event),
                    // Shows both sides, and proxies between them, that the connection is alive.
                    () = sleep(heartbeat) => text.push_str(":\n\n"),
                    drain = edges.goaway(told.clone()) => {
                        drain.tell(&mut ties.edge);
                        *told = Some(drain);
                    }
                    _ = stopping.wait_for(|stopping| *stopping) => {
                        ties.edge.close(CloseCode::Shutdown);
                    }
                },
            }
        }
    }
}

fn take_from(ties: &mut Ties, text: &mut String) {
    while let Some(transmit) = ties.edge.poll_transmit() {
        match transmit {
            Transmit::Frame(frame) => write_event(text, frame.seq, &frame.text()),
            Transmit::Refusal(code, frame) => {
                ties.edges.counters.count_refusal(code);
                write_event(text, None, &frame);
                // There is no session to listen to.
                if ties.edge.peer().is_none() {
                    ties.edge.close(CloseCode::Normal);
                }
            }
            Transmit::Ping => {}
        }
    }
}

fn write_event(text: &mut String, id: Option<u64>, frame: &FrameText) {
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    // JSON text has no line breaks of its own, but white space between values may be some.
    for line in frame.as_str().lines() {
        let _ = writeln!(text, "data: {line}");
    }
    text.push('\n');
}
