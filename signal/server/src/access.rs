//! Who asks over plain HTTP, and what becomes of the answer.

use crate::Connection;
use crate::admission::Refused;
use crate::edges::{Edges, Origin};
use crate::ticket_office::Owner;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::FromRequestParts;
use axum::extract::rejection::QueryRejection;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use signal_core::matchmaking::TicketId;
use signal_core::protocol::{CloseCode, ErrorCode, ErrorFrame, ServerFrame};
use signal_core::{FrameText, Purpose, Resume, SessionKey, SessionName};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;

/// What stands in the URL.
#[derive(Debug, Deserialize)]
pub(crate) struct Access {
    /// The session, as the welcome called it.
    pub(crate) session: Option<String>,
    /// The key, for who can't set the header `Authorization: Bearer`.
    key: Option<String>,
    /// The number of the last frame that came.
    pub(crate) seq: Option<u64>,
    /// Counts the client's attempts to listen.
    attempt: Option<u64>,
    /// For how many seconds to wait for a frame.
    pub(crate) wait_s: Option<u64>,
}

/// A request over plain HTTP, but for its body.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) access: Access,
    headers: HeaderMap,
    connection: Option<Connection>,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Response<Body>;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        use axum::extract::Query;
        let access = Query::<Access>::from_request_parts(parts, state).await;
        let Query(access) = access.map_err(|rejection: QueryRejection| {
            refusal(ErrorCode::BadFrame, &format!("the URL: {}", rejection.body_text()))
        })?;
        let connection = parts.extensions.get::<Connection>().cloned();
        Ok(Self { access, headers: parts.headers.clone(), connection })
    }
}

impl Asked {
    /// The session that is asked for, and for what.
    ///
    /// # Errors
    /// The answer, if there can be no such session.
    pub(crate) fn resume(&self, purpose: Purpose) -> Result<Resume, Box<Response<Body>>> {
        let lacks = |what: &str| Box::new(refusal(ErrorCode::MissingField, what));
        let session = self.access.session.as_deref();
        let session = session.ok_or_else(|| lacks("the URL needs ?session="))?;
        let key = self.key().ok_or_else(|| lacks(NEEDS_KEY))?;
        match (SessionName::parse(session), SessionKey::parse(key.trim())) {
            (Ok(name), Ok(key)) => {
                Ok(Resume { name, key, attempt: self.access.attempt, purpose, id: None })
            }
            _ => Err(Box::new(plain_refusal(ErrorCode::NoSuchSession))),
        }
    }

    /// Who says that the ticket of this name is its own.
    ///
    /// # Errors
    /// The answer, if it doesn't say so, or there can be no such ticket.
    pub(crate) fn owner(&self, ticket: &str) -> Result<Owner, Box<Response<Body>>> {
        let Some(key) = self.key() else {
            let mut answer = refusal(ErrorCode::MissingField, NEEDS_KEY);
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            let bearer = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
            return Err(Box::new(answer));
        };
        match (TicketId::parse(ticket), SessionKey::parse(key.trim())) {
            (Ok(id), Ok(key)) => Ok(Owner { id, key }),
            _ => Err(Box::new(plain_refusal(ErrorCode::NoSuchTicket))),
        }
    }

    /// The key that shows what is the client's own.
    fn key(&self) -> Option<&str> {
        let bearer = self.headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
        let bearer = bearer.and_then(|text| text.strip_prefix("Bearer "));
        bearer.or(self.access.key.as_deref())
    }

    /// The address that the client reached.
    pub(crate) fn local(&self) -> Option<IpAddr> {
        self.connection.as_ref().map(|connection| connection.local.ip())
    }

    /// Where it comes from, if one more request of that address may be answered.
    ///
    /// # Errors
    /// The answer, if it may not.
    pub(crate) fn request(&self, edges: &Edges) -> Result<Origin, Box<Response<Body>>> {
        let client = edges.client(self.connection.as_ref(), &self.headers);
        let admitted = edges.admission.request(edges.now(), client);
        admitted.map_err(|refused| Box::new(too_much(refused)))?;
        Ok(Origin { client, local: self.local(), _place: None })
    }

    /// The same with a place for a connection that stays open.
    ///
    /// # Errors
    /// The answer, if there is none.
    pub(crate) fn connect(&self, edges: &Edges) -> Result<Origin, Box<Response<Body>>> {
        edges.connect(self.connection.as_ref(), &self.headers)
    }

    /// The number of the last frame that came: that of the URL, or for who reconnects by itself
    /// the id of the last event.
    pub(crate) fn cursor(&self) -> u64 {
        let last = self.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let last = last.and_then(|id| id.trim().parse().ok());
        last.or(self.access.seq).unwrap_or(0)
    }
}

const NEEDS_KEY: &str = "this needs the header Authorization: Bearer KEY";

/// How long the body of a request may take to come: ample for the largest on the slowest line.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The body of a request.
///
/// # Errors
/// The answer, if it is too large or takes too long.
pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Box<Response<Body>>> {
    let (status, text) = match timeout(BODY_TIMEOUT, to_bytes(body, bytes_max)).await {
        Ok(Ok(body)) => return Ok(body),
        Ok(Err(_)) => {
            let text = format!("at most {bytes_max} bytes in one request");
            (StatusCode::PAYLOAD_TOO_LARGE, text)
        }
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the body took too long to come".to_owned()),
    };
    let mut answer = refusal(ErrorCode::BadFrame, &text);
    *answer.status_mut() = status;
    Err(Box::new(answer))
}

/// An answer with JSON text.
pub(crate) fn json(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        fields.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A list of frames as one JSON text.
pub(crate) fn list(frames: &[FrameText]) -> String {
    let texts: Vec<&str> = frames.iter().map(FrameText::as_str).collect();
    format!("[{}]", texts.join(","))
}

/// An error as the whole answer.
pub(crate) fn refusal(code: ErrorCode, text: &str) -> Response<Body> {
    let (text, retry) = (text.into(), code.retry());
    let error = ErrorFrame { code, text, retry, retry_after_ms: None, state: None, id: None };
    json(status(code), ServerFrame::Error(error).encode())
}

/// Refuses until there is room again.
pub(crate) fn too_much(refused: Refused) -> Response<Body> {
    let Refused { code, retry_after } = refused;
    let retry_after_ms = Some(retry_after.as_millis() as u64);
    let text = code.advice().into();
    let error = ErrorFrame { code, text, retry: true, retry_after_ms, state: None, id: None };
    refused_with(code, FrameText::encode(&ServerFrame::Error(error)))
}

/// An error frame as the whole answer.
pub(crate) fn refused_with(code: ErrorCode, frame: FrameText) -> Response<Body> {
    let mut response = json(status(code), frame.as_str().to_owned());
    if let Ok(ServerFrame::Error(ErrorFrame { retry_after_ms: Some(ms), .. })) =
        ServerFrame::parse(frame.as_str())
    {
        response.headers_mut().insert(header::RETRY_AFTER, ms.div_ceil(1000).into());
    }
    response
}

pub(crate) fn plain_refusal(code: ErrorCode) -> Response<Body> {
    refusal(code, code.advice())
}

/// What a close frame says over WebSocket.
pub(crate) fn close_frame(code: CloseCode) -> FrameText {
    let (number, text) = (code.number(), code.text().into());
    FrameText::encode(&ServerFrame::Close { code: number, text })
}

pub(crate) fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::NoSuchSession
        | ErrorCode::NoSuchPeer
        | ErrorCode::NoSuchRoom
        | ErrorCode::NoSuchTicket
        | ErrorCode::Undelivered => StatusCode::NOT_FOUND,
        ErrorCode::RoomFull
        | ErrorCode::ServerFull
        | ErrorCode::Busy
        | ErrorCode::AuthUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::RoomSealed
        | ErrorCode::WrongPassword
        | ErrorCode::Banned
        | ErrorCode::NotHost => StatusCode::FORBIDDEN,
        ErrorCode::AlreadyJoined
        | ErrorCode::RoomTaken
        | ErrorCode::OldTerm
        | ErrorCode::Conflict
        | ErrorCode::OutOfOrder
        | ErrorCode::PeerTaken => StatusCode::CONFLICT,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::BadFrame
        | ErrorCode::BinaryFrame
        | ErrorCode::UnknownType
        | ErrorCode::MissingField
        | ErrorCode::BadRoom
        | ErrorCode::BadMetadata
        | ErrorCode::BadRules
        | ErrorCode::HelloFirst
        | ErrorCode::BadTicket
        | ErrorCode::Unknown => StatusCode::BAD_REQUEST,
    }
}
