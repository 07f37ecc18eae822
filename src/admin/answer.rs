//! What requests are answered with: JSON, errors included; and what they are read from.

use super::Admin;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;

/// A value as JSON.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut text = serde_json::to_string(&self.0).expect("no map has keys but text");
        text.push('\n');
        let kind = HeaderValue::from_static("application/json");
        let fields = [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (fields, text).into_response()
    }
}

/// Why a request was refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The request can't be meant.
    BadRequest(String),
    /// No token, or a wrong one.
    Unauthorized,
    /// Nothing is there, or no longer.
    NotFound(&'static str),
    /// The route has other methods.
    WrongMethod,
    /// The body took too long to come.
    TooSlow,
    /// The body is over the limit.
    TooLarge { bytes_max: usize },
    /// Too many wrong tokens came from this address.
    TooManyAttempts { retry_after: Duration },
    /// The program can't do it at the moment.
    Unavailable(String),
}

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// A word for programs.
    code: &'static str,
    /// A sentence for people.
    text: String,
}

impl Refusal {
    pub(super) const NO_SIGNAL: Self = Self::NotFound("this program runs no rooms");
    pub(super) const NO_RELAY: Self = Self::NotFound("this program runs no relay");
    pub(super) const NO_ROOM: Self = Self::NotFound("there is no such room (any more)");
    pub(super) const NO_PEER: Self = Self::NotFound("nobody in the room has this peer id");

    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::NotFound(_) => "not_found",
            Self::WrongMethod => "wrong_method",
            Self::TooSlow => "too_slow",
            Self::TooLarge { .. } => "too_large",
            Self::TooManyAttempts { .. } => "too_many_attempts",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest(text) | Self::Unavailable(text) => f.write_str(text),
            Self::Unauthorized => f.write_str(
                "this needs the header Authorization: Bearer TOKEN, with the admin token",
            ),
            Self::NotFound(text) => f.write_str(text),
            Self::WrongMethod => f.write_str("the route is there, but not with this method"),
            Self::TooSlow => f.write_str("the body took too long to come"),
            Self::TooLarge { bytes_max } => write!(f, "a body has at most {bytes_max} bytes"),
            Self::TooManyAttempts { retry_after } => {
                let seconds = whole_s(*retry_after);
                write!(f, "too many wrong tokens came from this address: wait {seconds} s")
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem { code: self.code(), text: self.to_string() };
        let mut response = Json(problem).into_response();
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        if let Self::Unauthorized = self {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Self::TooManyAttempts { retry_after } = self {
            headers.insert(header::RETRY_AFTER, whole_s(retry_after).into());
        }
        response
    }
}

fn whole_s(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000) as u64
}

/// A part of the request that axum reads; what it finds wrong is told as JSON.
#[derive(Debug)]
pub(super) struct Told<T>(pub(super) T);

impl<S, T> FromRequestParts<S> for Told<T>
where
    S: Send + Sync,
    T: FromRequestParts<S, Rejection: fmt::Display>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = T::from_request_parts(parts, state).await;
        read.map(Self).map_err(|error| Refusal::BadRequest(error.to_string()))
    }
}

/// A body of JSON.
#[derive(Debug)]
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Admin>> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, admin: &Arc<Admin>) -> Result<Self, Refusal> {
        let body = read(request.into_body(), admin).await?;
        let value = serde_json::from_slice(&body);
        value.map(Self).map_err(|error| Refusal::BadRequest(format!("the body: {error}")))
    }
}

async fn read(body: Body, admin: &Admin) -> Result<axum::body::Bytes, Refusal> {
    let bytes_max = admin.limits.body_bytes_max;
    let body = timeout(admin.limits.body_timeout, to_bytes(body, bytes_max)).await;
    // A body that broke off is nobody's to answer.
    body.map_err(|_| Refusal::TooSlow)?.map_err(|_| Refusal::TooLarge { bytes_max })
}
