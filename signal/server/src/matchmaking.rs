//! `/v1/tickets`: matchmaking over plain HTTP. What tickets are and which of them meet is in
//! [`signal_core::matchmaking`].

use crate::access::{self, Asked, json, plain_refusal, refusal, too_much};
use crate::admission::Refused;
use crate::edges::Edges;
use crate::poll::{WAIT_S, WAIT_S_MAX};
use crate::ticket_office::Owner;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use signal_core::matchmaking::{Posted, Status, Ticket};
use signal_core::protocol::ErrorCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// A ticket as its owner is shown it.
#[derive(Serialize)]
struct Shown<'a> {
    ticket: &'a str,
    /// Only in the first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(flatten)]
    status: &'a Status,
}

/// `POST /v1/tickets`: takes a ticket and says at once how it is called.
pub(crate) async fn post(
    State(edges): State<Arc<Edges>>,
    asked: Asked,
    body: Body,
) -> Response<Body> {
    let client = match asked.request(&edges) {
        Ok(origin) => origin.client,
        Err(answer) => return *answer,
    };
    let body = match access::read(body, edges.config.matching.ticket_bytes_max).await {
        Ok(body) => body,
        Err(answer) => return *answer,
    };
    let Ok(text) = str::from_utf8(&body) else {
        return refused(&edges, refusal(ErrorCode::BadTicket, "JSON is UTF-8"));
    };
    let ticket = match Ticket::parse(text, &edges.config.matching) {
        Ok(ticket) => ticket,
        Err(bad) => return refused(&edges, refusal(ErrorCode::BadTicket, &bad.to_string())),
    };
    if let Some(drain) = edges.draining.borrow().clone() {
        return too_much(Refused { code: ErrorCode::Busy, retry_after: drain.left() });
    }
    let place = match edges.admission.ticket(edges.now(), client) {
        Ok(place) => place,
        Err(refused) => return too_much(refused),
    };
    match edges.tickets.post(ticket, place).await {
        Ok(Posted { id, key, status }) => {
            let id = id.to_string();
            let shown = Shown { ticket: &id, key: Some(key.text()), status: &status };
            let mut answer = shown.answer(StatusCode::ACCEPTED);
            // Relative to where it was posted, so that it holds behind any proxy.
            let location = HeaderValue::try_from(format!("tickets/{id}"));
            let location = location.expect("letters and digits make a header");
            answer.headers_mut().insert(header::LOCATION, location);
            answer
        }
        Err(full) => too_much(full),
    }
}

/// `GET /v1/tickets/ID`: what has become of it, as soon as something has.
pub(crate) async fn poll(
    State(edges): State<Arc<Edges>>,
    id: Result<Path<String>, PathRejection>,
    asked: Asked,
) -> Response<Body> {
    let id = name(id);
    let wait_s = asked.access.wait_s.unwrap_or(WAIT_S).min(WAIT_S_MAX);
    let owner = match asked.request(&edges).and_then(|_| asked.owner(&id)) {
        Ok(owner) => owner,
        Err(answer) => return *answer,
    };
    // Held as long as it waits.
    let _place = match asked.connect(&edges) {
        Ok(place) => place,
        Err(answer) => return *answer,
    };
    let status = match wait_s {
        0 => edges.tickets.look(owner).await,
        _ => wait(&edges, owner, Duration::from_secs(wait_s)).await,
    };
    show(&edges, &id, status)
}

/// `DELETE /v1/tickets/ID`: takes it back, if it isn't too late.
pub(crate) async fn cancel(
    State(edges): State<Arc<Edges>>,
    id: Result<Path<String>, PathRejection>,
    asked: Asked,
) -> Response<Body> {
    let id = name(id);
    let owner = match asked.request(&edges).and_then(|_| asked.owner(&id)) {
        Ok(owner) => owner,
        Err(answer) => return *answer,
    };
    let status = edges.tickets.cancel(owner).await;
    show(&edges, &id, status)
}

/// The ticket's name in the URL. What is no text is nobody's name, and so is none.
fn name(id: Result<Path<String>, PathRejection>) -> String {
    id.map_or_else(|_| String::new(), |Path(id)| id)
}

async fn wait(edges: &Edges, owner: Owner, longest: Duration) -> Result<Option<Status>, Refused> {
    let mut stopping = edges.stopping.subscribe();
    let mut watch = edges.tickets.watch(owner)?;
    tokio::select! {
        told = watch.told() => return told,
        () = sleep(longest) => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    edges.tickets.look(owner).await
}

fn show(edges: &Edges, id: &str, status: Result<Option<Status>, Refused>) -> Response<Body> {
    match status {
        Ok(Some(status)) => Shown { ticket: id, key: None, status: &status }.answer(StatusCode::OK),
        Ok(None) => {
            edges.counters.count_refusal(ErrorCode::NoSuchTicket);
            plain_refusal(ErrorCode::NoSuchTicket)
        }
        Err(busy) => too_much(busy),
    }
}

fn refused(edges: &Edges, answer: Response<Body>) -> Response<Body> {
    edges.counters.count_refusal(ErrorCode::BadTicket);
    answer
}

impl Shown<'_> {
    fn answer(&self, status: StatusCode) -> Response<Body> {
        json(status, serde_json::to_string(self).expect("texts and numbers have a JSON form"))
    }
}
