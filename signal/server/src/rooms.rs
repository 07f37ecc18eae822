//! Rooms over plain HTTP: to make one, to look for public ones and follow them, and to read what
//! was said in one.

use crate::access::{self, Asked, json, plain_refusal, refusal, refused_with};
use crate::auth::{Denied, Question};
use crate::directory::AGE_MAX;
use crate::edges::{Edges, Origin};
use crate::orders::{Order, ask};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use signal_core::protocol::{ErrorCode, ErrorFrame, ServerFrame};
use signal_core::{FrameText, HistoryPage, NewRoom, PeerId, Purpose, RoomId, RoomSearch, Token};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

type Answer = Response<Body>;

/// For how long a room waits for members if who makes it doesn't say, and at most.
const IDLE_S: u64 = 60;
const IDLE_S_MAX: u64 = 3600;

/// The most bytes of such a body: the largest state, and what stands around it.
const BODY_BYTES_MAX: usize = 32 << 10;

/// The most events of one page of history, which is also what is sent if nobody says.
const EVENTS_MAX: usize = 256;

/// The body of `POST /v1/rooms`.
#[derive(Deserialize)]
struct Wanted<'a> {
    room: Option<String>,
    token: Option<String>,
    idle_s: Option<u64>,
    #[serde(borrow)]
    options: Option<&'a RawValue>,
}

/// What a maker of a room is told.
#[derive(Serialize)]
struct Made<'a> {
    room: &'a str,
    idle_s: u64,
}

/// `POST /v1/rooms`: makes a room that waits for its members.
pub(crate) async fn make(State(edges): State<Arc<Edges>>, asked: Asked, body: Body) -> Answer {
    let body = match access::read(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(answer) => return *answer,
    };
    let wanted: Wanted<'_> = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return refusal(ErrorCode::BadFrame, &format!("the body: {error}")),
    };
    let (room, new) = match wanted.read(&edges) {
        Ok(read) => read,
        Err((code, text)) => return refusal(code, &text),
    };
    let origin = match asked.request(&edges) {
        Ok(origin) => origin,
        Err(answer) => return *answer,
    };
    if let Err(answer) = permit(&edges, &origin, &room, wanted.token.as_deref()).await {
        return *answer;
    }
    let idle_s = new.idle.map_or(0, |idle| idle.as_secs());
    let orders = &edges.orders[edges.shard_of(&room)];
    let order = |answer| Order::Open { room: room.clone(), new: Box::new(new), answer };
    match answered(ask(orders, order).await).await {
        Some(Ok(())) => {
            let made = Made { room: room.as_str(), idle_s };
            let text = serde_json::to_string(&made).expect("a text and a number have a JSON form");
            json(StatusCode::CREATED, text)
        }
        Some(Err(code)) => plain_refusal(code),
        None => plain_refusal(ErrorCode::ServerFull),
    }
}

impl Wanted<'_> {
    fn read(&self, edges: &Edges) -> Result<(RoomId, NewRoom), (ErrorCode, String)> {
        let room = match &self.room {
            Some(room) => {
                RoomId::parse(room).map_err(|bad| (ErrorCode::BadRoom, bad.to_string()))?
            }
            None => random_room()?,
        };
        let options = self.options.map_or("{}", RawValue::get);
        let new = NewRoom::read(options, &edges.limits)
            .map_err(|bad| (ErrorCode::BadRules, bad.to_string()))?;
        let idle_s = self.idle_s.unwrap_or(IDLE_S);
        if !(1..=IDLE_S_MAX).contains(&idle_s) {
            return Err((ErrorCode::BadRules, format!("idle_s is 1 to {IDLE_S_MAX}")));
        }
        Ok((room, NewRoom { idle: Some(Duration::from_secs(idle_s)), ..new }))
    }
}

/// A name that nobody can guess.
fn random_room() -> Result<RoomId, (ErrorCode, String)> {
    let mut bytes = [0; 10];
    let busy = |_| (ErrorCode::Busy, ErrorCode::Busy.advice().to_owned());
    getrandom::fill(&mut bytes).map_err(busy)?;
    let id = PeerId::from_random(bytes);
    Ok(RoomId::parse(id.as_str()).expect("they have the same alphabet"))
}

/// Who could join the room may make it.
async fn permit(
    edges: &Edges,
    origin: &Origin,
    room: &RoomId,
    token: Option<&str>,
) -> Result<(), Box<Answer>> {
    if edges.auth.is_open() {
        return Ok(());
    }
    let question = Question {
        room: room.clone(),
        address: origin.client,
        metadata: None,
        peer: None,
        token: token.map(Token::new),
    };
    let checked = edges.auth.check(edges.clock.now(), question).await;
    checked.map(drop).map_err(|denied| Box::new(denied_answer(denied)))
}

/// Why somebody may not make a room.
fn denied_answer(Denied { code, text, retry_after }: Denied) -> Answer {
    let error = ErrorFrame {
        code,
        text: text.as_ref().into(),
        retry: code.retry(),
        retry_after_ms: retry_after.map(|after| after.as_millis() as u64),
        state: None,
        id: None,
    };
    refused_with(code, FrameText::encode(&ServerFrame::Error(error)))
}

/// `GET /v1/rooms`: the public rooms that are asked for; for an `EventSource` all changes of them.
pub(crate) async fn list(
    State(edges): State<Arc<Edges>>,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    asked: Asked,
) -> Answer {
    let search = match RoomSearch::read(&parameters, &edges.config.search) {
        Ok(search) => search,
        Err(bad) => return refusal(ErrorCode::BadFrame, &bad.to_string()),
    };
    let accepts = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or("");
    if accepts.contains("text/event-stream") {
        return follow(edges, search, &asked);
    }
    if let Err(answer) = asked.request(&edges) {
        return *answer;
    }
    let rooms = edges.directory.rooms(&edges).await;
    let texts: Vec<_> = search.find(&rooms).into_iter().map(|entry| entry.text()).collect();
    json(StatusCode::OK, format!(r#"{{"rooms":[{}]}}"#, texts.join(",")))
}

/// `GET /v1/rooms/{room}`: one public room.
pub(crate) async fn show(
    State(edges): State<Arc<Edges>>,
    Path(room): Path<String>,
    asked: Asked,
) -> Answer {
    if let Err(answer) = asked.request(&edges) {
        return *answer;
    }
    let rooms = edges.directory.rooms(&edges).await;
    match rooms.iter().find(|entry| entry.room.room.as_str() == room) {
        Some(entry) => json(StatusCode::OK, entry.text()),
        None => refusal(ErrorCode::NoSuchRoom, "there is no public room of this name"),
    }
}

/// `GET /v1/rooms/{room}/events?after=N`: what was said in a room behind that event.
pub(crate) async fn history(
    State(edges): State<Arc<Edges>>,
    Path(room): Path<String>,
    Query(Page { after, limit }): Query<Page>,
    asked: Asked,
) -> Answer {
    if let Err(answer) = asked.request(&edges) {
        return *answer;
    }
    let Ok(room) = RoomId::parse(&room) else { return plain_refusal(ErrorCode::BadRoom) };
    let member = match &asked.access.session {
        None => None,
        Some(_) => match asked.resume(Purpose::Send) {
            Ok(resume) => Some((resume.name, resume.key)),
            Err(answer) => return *answer,
        },
    };
    let page = (after.unwrap_or(0), limit.unwrap_or(EVENTS_MAX).min(EVENTS_MAX));
    let orders = &edges.orders[edges.shard_of(&room)];
    let order = |answer| Order::History { room, member, page, answer };
    match answered(ask(orders, order).await).await {
        Some(Ok(page)) => json(StatusCode::OK, text(&page)),
        Some(Err(code)) => refusal(code, "there is no such room, or it isn't for everybody"),
        None => plain_refusal(ErrorCode::ServerFull),
    }
}

/// Which events.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    after: Option<u64>,
    limit: Option<usize>,
}

fn text(page: &HistoryPage) -> String {
    let HistoryPage { events, missed, last_event } = page;
    let events: Vec<_> = events.iter().map(FrameText::as_str).collect();
    let last = last_event.unwrap_or(0);
    format!(r#"{{"events":[{}],"missed":{missed},"last_event":{last}}}"#, events.join(","))
}

/// What a shard answers, if it does.
async fn answered<T>(
    asked: Result<tokio::sync::oneshot::Receiver<T>, crate::ShardFailed>,
) -> Option<T> {
    match asked {
        Ok(answer) => answer.await.ok(),
        Err(_) => None,
    }
}

/// Sends all rooms that are found, each as an event `room`, and from then on those that are new or
/// have changed, and of those that are no longer found a `gone`.
fn follow(edges: Arc<Edges>, search: RoomSearch, asked: &Asked) -> Answer {
    let origin = match asked.connect(&edges) {
        Ok(origin) => origin,
        Err(answer) => return *answer,
    };
    let stopping = edges.stopping.subscribe();
    let follower = Follower { edges, search, _origin: origin, stopping, known: None };
    let chunks = stream::unfold(follower, |mut follower| async move {
        let chunk = follower.next().await?;
        Some((Ok::<_, Infallible>(chunk), follower))
    });
    crate::events::stream_of(Body::from_stream(chunks))
}

/// Somebody who follows the list of rooms.
struct Follower {
    edges: Arc<Edges>,
    search: RoomSearch,
    /// Its place among the connections of its address.
    _origin: Origin,
    stopping: watch::Receiver<bool>,
    /// What it knows: the text of each room.
    known: Option<BTreeMap<RoomId, String>>,
}

impl Follower {
    /// What to tell it next; nothing at the end of the server.
    async fn next(&mut self) -> Option<String> {
        let heartbeat = self.edges.limits.heartbeat_interval;
        let mut quiet = Duration::ZERO;
        loop {
            if self.known.is_some() {
                tokio::select! {
                    () = sleep(AGE_MAX) => quiet += AGE_MAX,
                    _ = self.stopping.wait_for(|stopping| *stopping) => return None,
                }
            }
            let rooms = self.edges.directory.rooms(&self.edges).await;
            let found = self.search.find(&rooms).into_iter();
            let now: BTreeMap<_, _> =
                found.map(|entry| (entry.room.room.clone(), entry.text())).collect();
            let before = self.known.replace(now).unwrap_or_default();
            let text = changes(&before, self.known.as_ref().expect("it was just put there"));
            if !text.is_empty() {
                return Some(text);
            }
            if quiet >= heartbeat {
                return Some(":\n\n".to_owned());
            }
        }
    }
}

/// What has changed, as server-sent events.
fn changes(before: &BTreeMap<RoomId, String>, now: &BTreeMap<RoomId, String>) -> String {
    let mut text = String::new();
    for (room, shown) in now {
        if before.get(room) != Some(shown) {
            text.push_str("event: room\n");
            for line in shown.lines() {
                text.push_str("data: ");
                text.push_str(line);
                text.push('\n');
            }
            text.push('\n');
        }
    }
    for room in before.keys().filter(|room| !now.contains_key(*room)) {
        text.push_str("event: gone\ndata: {\"room\":\"");
        text.push_str(room.as_str());
        text.push_str("\"}\n\n");
    }
    text
}
