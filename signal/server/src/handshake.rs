//! The opening handshake of a WebSocket over HTTP/1.1 (RFC 6455 §4.2) and HTTP/2 (RFC 8441), with
//! answers that say what to do where it fails.
//!
//! Done here and not by axum's extractor, because a session needs the connection itself at its end:
//! to wait, after the close frame, until the client has it. Closing a socket with unread bytes
//! would reset it, and the client would never learn why.

use axum::body::Body;
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use signal_core::protocol::SUBPROTOCOL;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const NOT_ASKED: &str = "This is a WebSocket endpoint: open it as new WebSocket(url) does. \
     If you did, a proxy between us drops the headers Connection and Upgrade: tell it to pass \
     them on.\n";

const NOT_CONNECTED: &str = "This is a WebSocket endpoint: open it as new WebSocket(url) does, \
     over HTTP/2 with an extended CONNECT (RFC 8441).\n";

const OTHER_VERSION: &str =
    "This server speaks version 13 of the protocol: send Sec-WebSocket-Version: 13.\n";

/// What a request for a WebSocket comes to: the answer that accepts it and the connection that will
/// be one, or the refusal.
type Accepted = Result<(Response<Body>, OnUpgrade), Box<Response<Body>>>;

/// Checks a request for a WebSocket.
pub(crate) fn accept(request: &mut Request<Body>) -> Accepted {
    match request.version() == Version::HTTP_2 {
        true => accept_connect(request),
        false => accept_upgrade(request),
    }
}

/// RFC 6455 §4.2.
fn accept_upgrade(request: &mut Request<Body>) -> Accepted {
    if request.method() != Method::GET {
        return Err(refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            (header::ALLOW, "GET"),
            "This is a WebSocket endpoint: open it with GET, as new WebSocket(url) does.\n",
        ));
    }
    let websocket = (header::UPGRADE, "websocket");
    let headers = request.headers();
    let asked = has_word(headers, header::CONNECTION, "upgrade")
        && has_word(headers, header::UPGRADE, "websocket");
    if !asked {
        return Err(refusal(StatusCode::UPGRADE_REQUIRED, websocket, NOT_ASKED));
    }
    if !is_version_13(headers) {
        let version = (header::SEC_WEBSOCKET_VERSION, "13");
        return Err(refusal(StatusCode::UPGRADE_REQUIRED, version, OTHER_VERSION));
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key)) else {
        let text = "Sec-WebSocket-Key is missing or isn't 16 bytes in base64.\n";
        return Err(refusal(StatusCode::BAD_REQUEST, websocket, text));
    };
    let accept =
        HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is visible");
    let mut answer = answer(StatusCode::SWITCHING_PROTOCOLS, headers);
    let fields = answer.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    match request.extensions_mut().remove::<OnUpgrade>() {
        Some(upgrade) => Ok((answer, upgrade)),
        None => {
            let text = "A WebSocket needs HTTP/1.1 or HTTP/2.\n";
            Err(refusal(StatusCode::UPGRADE_REQUIRED, websocket, text))
        }
    }
}

/// RFC 8441 §5: neither the headers of an upgrade nor a key, since HTTP/2 says by itself what the
/// stream is for.
fn accept_connect(request: &mut Request<Body>) -> Accepted {
    let hint = (header::ALLOW, "CONNECT");
    let protocol = request.extensions().get::<Protocol>().map(Protocol::as_str);
    match (request.method(), protocol) {
        (&Method::CONNECT, Some("websocket")) => {}
        (&Method::CONNECT, Some(_)) => {
            let text = "The only :protocol here is websocket.\n";
            return Err(refusal(StatusCode::NOT_IMPLEMENTED, hint, text));
        }
        _ => return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, hint, NOT_CONNECTED)),
    }
    let headers = request.headers();
    if !is_version_13(headers) {
        let version = (header::SEC_WEBSOCKET_VERSION, "13");
        return Err(refusal(StatusCode::BAD_REQUEST, version, OTHER_VERSION));
    }
    let answer = answer(StatusCode::OK, headers);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    Ok((answer, upgrade.expect("a CONNECT has a stream")))
}

/// The answer that accepts, so far as it is the same over both.
fn answer(status: StatusCode, headers: &HeaderMap) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    if has_word(headers, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        let chosen = HeaderValue::from_static(SUBPROTOCOL);
        answer.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    answer
}

fn refusal(
    status: StatusCode,
    hint: (HeaderName, &'static str),
    text: &'static str,
) -> Box<Response<Body>> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let (name, value) = hint;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    Box::new(response)
}

/// Whether a list of words in headers has this one, in any case.
fn has_word(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let lists = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|entry| entry.trim().eq_ignore_ascii_case(word))
}

fn is_version_13(headers: &HeaderMap) -> bool {
    headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
}

fn is_key(key: &HeaderValue) -> bool {
    data_encoding::BASE64.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16)
}
