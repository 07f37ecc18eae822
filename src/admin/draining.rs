//! Ending the program in order, from afar.

use super::Admin;
use super::answer::{Json, Refusal, Sent};
use crate::drain::Drain;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How to end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DrainOrder {
    /// In how many seconds, at most a day.
    within_s: u64,
    /// Where clients are told to go: `wss://HOST` or `ws://HOST`.
    url: Option<String>,
}

/// Whether the program is about to end.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DrainState {
    draining: bool,
    /// In how many seconds it ends at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_s: Option<u64>,
    /// Where clients are told to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// Whether the program is about to end
#[utoipa::path(
    get,
    path = "/v1/drain",
    responses((status = 200, description = "The state", body = DrainState))
)]
pub(super) async fn show(State(admin): State<Arc<Admin>>) -> Json<DrainState> {
    Json(DrainState::of(admin.drains.current()))
}

/// Ends the program in order, as SIGTERM does
///
/// Clients of signaling are told to go elsewhere, one after the other; new joins are refused; when
/// the time is over or all have gone, the program ends. Asked again, the new time and the new URL
/// hold.
#[utoipa::path(
    post,
    path = "/v1/drain",
    request_body = DrainOrder,
    responses((status = 202, description = "It has begun", body = DrainState))
)]
pub(super) async fn begin(
    State(admin): State<Arc<Admin>>,
    Sent(DrainOrder { within_s, url }): Sent<DrainOrder>,
) -> Result<(StatusCode, Json<DrainState>), Refusal> {
    let most = admin.limits.drain_s_max;
    if within_s > most {
        return Err(Refusal::BadRequest(format!("within_s: needs 0 to {most}")));
    }
    if url.as_deref().is_some_and(|url| !crate::signaling::is_websocket_url(url)) {
        return Err(Refusal::BadRequest("url: needs wss://HOST".to_owned()));
    }
    let drain = Drain::new(Duration::from_secs(within_s), url);
    admin.drains.order(drain.clone());
    Ok((StatusCode::ACCEPTED, Json(DrainState::of(Some(drain)))))
}

impl DrainState {
    pub(super) fn of(drain: Option<Drain>) -> Self {
        let left_s = drain.as_ref().map(|drain| drain.left().as_millis().div_ceil(1000) as u64);
        Self { draining: drain.is_some(), left_s, url: drain.and_then(|drain| drain.url) }
    }
}
