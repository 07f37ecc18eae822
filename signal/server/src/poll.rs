//! `GET /v1/poll` and `POST /v1/send`: sessions over requests that end, for networks that let
//! nothing else through.

use crate::access::{self, Asked, close_frame, json, list, plain_refusal, refusal, refused_with};
use crate::edges::{Edges, Ties};
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde_json::value::RawValue;
use signal_core::protocol::{CloseCode, ErrorCode, ErrorFrame, ServerFrame};
use signal_core::{End, Event, FrameText, Purpose, Transmit};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a poll waits if it doesn't say.
pub(crate) const WAIT_S: u64 = 25;

/// The longest that a poll may wait: proxies cut what is silent for longer.
pub(crate) const WAIT_S_MAX: u64 = 55;

/// The most frames of one request.
const FRAMES_MAX: usize = 64;

/// `GET /v1/poll?session=…&seq=N`: the frames behind `seq`, as soon as there are any.
pub(crate) async fn poll(State(edges): State<Arc<Edges>>, asked: Asked) -> Response<Body> {
    let (seq, ice) = (asked.cursor(), edges.ice(asked.local()));
    let resume = match asked.resume(Purpose::Listen { seq, ice, is_oneway: false }) {
        Ok(resume) => resume,
        Err(answer) => return *answer,
    };
    let origin = match asked.request(&edges).and_then(|_| asked.connect(&edges)) {
        Ok(origin) => origin,
        Err(answer) => return *answer,
    };
    let wait_s = asked.access.wait_s.unwrap_or(WAIT_S).min(WAIT_S_MAX);
    let mut wait = pin!(sleep(Duration::from_secs(wait_s)));
    let mut stopping = edges.stopping.subscribe();
    let mut goaway = pin!(edges.goaway(None));
    let mut ties = Ties::resuming(&edges, resume, origin);
    let mut gathered = Gathered::default();
    ties.pass_requests().await;
    loop {
        gathered.take_from(&mut ties);
        if ties.edge.ended().is_some() || gathered.refused.is_some() {
            break;
        }
        if gathered.has_news() {
            match ties.try_event() {
                Some(event) => ties.handle_event(event),
                None => break,
            }
            continue;
        }
        tokio::select! {
            event = ties.event(true) => ties.handle_event(event),
            () = wait.as_mut() => break,
            drain = goaway.as_mut() => {
                drain.tell(&mut ties.edge);
                gathered.take_from(&mut ties);
                break;
            }
            _ = stopping.wait_for(|stopping| *stopping) => ties.edge.close(CloseCode::Shutdown),
        }
    }
    let end = ties.edge.ended();
    ties.edge.handle_done();
    ties.pass_requests().await;
    if end.is_none() && ties.edge.peer().is_some() {
        gathered.take_goodbye(&mut ties).await;
    }
    gathered.answer(end)
}

/// `POST /v1/send?session=…`: carries out one frame or a list of them, and says how far it came.
/// Without a session the first one is a `hello`, and its `welcome` the answer.
pub(crate) async fn send(
    State(edges): State<Arc<Edges>>,
    asked: Asked,
    body: Body,
) -> Response<Body> {
    let has_session = asked.access.session.is_some();
    let origin = match asked.request(&edges) {
        Ok(origin) => origin,
        Err(answer) => return *answer,
    };
    let mut ties = match has_session.then(|| asked.resume(Purpose::Send)) {
        Some(Ok(resume)) => Ties::resuming(&edges, resume, origin),
        Some(Err(answer)) => return *answer,
        None => Ties::new(&edges, origin),
    };
    // As much as may wait for one client.
    let body = match access::read(body, edges.limits.unacked_bytes_max).await {
        Ok(body) => body,
        Err(answer) => return *answer,
    };
    let frames = match frames(&body) {
        Ok(frames) => frames,
        Err(text) => return refusal(ErrorCode::BadFrame, &text),
    };
    let limit = edges.limits.hello_timeout;
    let done = timeout(limit, carry_out(&mut ties, &frames, has_session)).await;
    match done {
        Ok((gathered, end)) => gathered.answer(end),
        Err(_) => plain_refusal(ErrorCode::ServerFull),
    }
}

/// One JSON object, or a list of them.
fn frames(body: &[u8]) -> Result<Vec<&RawValue>, String> {
    let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let frames = match is_list {
        true => serde_json::from_slice(body),
        false => serde_json::from_slice(body).map(|frame| vec![frame]),
    };
    let frames: Vec<&RawValue> =
        frames.map_err(|error| format!("the body is a frame or a list of frames: {error}"))?;
    match frames.len() {
        0 => Err("the list is empty".to_owned()),
        1..=FRAMES_MAX => Ok(frames),
        _ => Err(format!("at most {FRAMES_MAX} frames in one request")),
    }
}

async fn carry_out(
    ties: &mut Ties,
    frames: &[&RawValue],
    has_session: bool,
) -> (Gathered, Option<End>) {
    let mut gathered = Gathered { wants_welcome: !has_session, ..Gathered::default() };
    ties.pass_requests().await;
    for frame in frames {
        gathered.settle(ties).await;
        if ties.edge.ended().is_some() || (has_session && gathered.refused.is_some()) {
            break;
        }
        let now = ties.edges.now();
        ties.edge.handle_text(now, frame.get());
        ties.pass_requests().await;
    }
    gathered.settle(ties).await;
    let end = ties.edge.ended();
    ties.edge.handle_done();
    ties.pass_requests().await;
    if has_session && end.is_none() && gathered.refused.is_none() {
        let ack = gathered.take_goodbye(ties).await;
        gathered.frames.extend(ack.map(|ack| FrameText::encode(&ServerFrame::Ack { ack })));
    }
    (gathered, end)
}

/// What the client will be answered.
#[derive(Debug, Default)]
struct Gathered {
    frames: Vec<FrameText>,
    /// Whether a seat comes with a welcome that is to be waited for.
    wants_welcome: bool,
    /// Whether a numbered frame is among them.
    has_numbered: bool,
    /// Why the session can't be had.
    refused: Option<ErrorCode>,
}

impl Gathered {
    /// Waits until the edge takes frames, or never will.
    async fn settle(&mut self, ties: &mut Ties) {
        self.take_from(ties);
        while ties.edge.ended().is_none() && self.waits(ties) {
            let now = ties.edges.now();
            let rest = ties.edge.poll_timeout().map_or(Duration::ZERO, |due| due.since(now));
            tokio::select! {
                event = ties.event(true) => ties.handle_event(event),
                () = sleep(rest) => {
                    let now = ties.edges.now();
                    ties.edge.handle_timeout(now);
                }
            }
            self.take_from(ties);
        }
        while let Some(event) = ties.try_event() {
            ties.handle_event(event);
        }
        self.take_from(ties);
    }

    /// Whether the edge takes no frame now, or a check or a diagnosis isn't done, or a welcome is
    /// yet to come.
    fn waits(&self, ties: &Ties) -> bool {
        let lacks_welcome = self.wants_welcome && ties.edge.peer().is_some() && !self.has_numbered;
        let waits = ties.checking.is_some() || ties.diagnosing.is_some();
        !ties.edge.wants_frames() || waits || lacks_welcome
    }

    fn take_from(&mut self, ties: &mut Ties) {
        while let Some(transmit) = ties.edge.poll_transmit() {
            match transmit {
                Transmit::Frame(frame) => {
                    self.has_numbered |= frame.seq.is_some();
                    self.frames.push(frame.text());
                }
                Transmit::Refusal(code, frame) => {
                    ties.edges.counters.count_refusal(code);
                    if ties.edge.peer().is_none() {
                        self.refused = Some(code);
                    }
                    self.frames.push(frame);
                }
                Transmit::Ping => {}
            }
        }
    }

    /// Whether more has come than the first frame, which says that the session is there.
    fn has_news(&self) -> bool {
        self.has_numbered || self.frames.len() > 1
    }

    /// Takes what else there is, until the hub has carried out all that was sent: up to which
    /// request that is, unless the session ended before.
    async fn take_goodbye(&mut self, ties: &mut Ties) -> Option<u64> {
        loop {
            match ties.event(true).await {
                Event::Facts(facts) => ties.handle_facts(*facts),
                Event::Done { ack } => {
                    while let Some(diagnosis) = poll_fn(|cx| ties.poll_diagnosis(cx)).await {
                        if let Event::Frame(frame) = diagnosis {
                            self.frames.push(frame.text());
                        }
                    }
                    return Some(ack);
                }
                Event::Close(code) => {
                    self.frames.push(close_frame(code));
                    return None;
                }
                Event::Frame(frame) => self.frames.push(frame.text()),
                Event::Refused { code, text, id, retry_after } => {
                    let text = text.map_or(code.advice().into(), |text| String::from(text).into());
                    let retry_after_ms = retry_after.map(|after| after.as_millis() as u64);
                    let error = ErrorFrame {
                        code,
                        text,
                        retry: code.retry(),
                        retry_after_ms,
                        state: None,
                        id,
                    };
                    ties.edges.counters.count_refusal(code);
                    self.frames.push(FrameText::encode(&ServerFrame::Error(error)));
                }
                Event::Seated { .. } => {}
            }
        }
    }

    fn answer(mut self, end: Option<End>) -> Response<Body> {
        if let (Some(code), [frame]) = (self.refused, &self.frames[..]) {
            return refused_with(code, frame.clone());
        }
        if let Some(End::Close(code)) = end {
            self.frames.push(close_frame(code));
        }
        json(StatusCode::OK, list(&self.frames))
    }
}
