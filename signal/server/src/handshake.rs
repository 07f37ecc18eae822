//! The opening handshake of a WebSocket (RFC 6455 §4.2), with answers that say what to do where it
//! fails.
//!
//! Done here and not by axum's extractor, because a session needs the connection itself at its end:
//! to wait, after the close frame, until the client has it. Closing a socket with unread bytes
//! would reset it, and the client would never learn why.

use axum::body::Body;
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
};
use hyper::upgrade::OnUpgrade;
use signal_core::protocol::SUBPROTOCOL;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Checks a request for a WebSocket: the answer that accepts it and the connection that will be
/// one, or the refusal.
pub(crate) fn accept(
    request: &mut Request<Body>,
) -> Result<(Response<Body>, OnUpgrade), Box<Response<Body>>> {
    if request.method() != Method::GET {
        return Err(refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            (header::ALLOW, "GET"),
            "This is a WebSocket endpoint: open it with GET, as new WebSocket(url) does.\n",
        ));
    }
    let headers = request.headers();
    let asked = has_word(headers, header::CONNECTION, "upgrade")
        && has_word(headers, header::UPGRADE, "websocket");
    if !asked {
        return Err(refusal(
            StatusCode::UPGRADE_REQUIRED,
            (header::UPGRADE, "websocket"),
            "This is a WebSocket endpoint: open it as new WebSocket(url) does. If you did, a proxy \
             between us drops the headers Connection and Upgrade: tell it to pass them on.\n",
        ));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(refusal(
            StatusCode::UPGRADE_REQUIRED,
            (header::SEC_WEBSOCKET_VERSION, "13"),
            "This server speaks version 13 of the protocol: send Sec-WebSocket-Version: 13.\n",
        ));
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key)) else {
        return Err(refusal(
            StatusCode::BAD_REQUEST,
            (header::UPGRADE, "websocket"),
            "Sec-WebSocket-Key is missing or isn't 16 bytes in base64.\n",
        ));
    };
    let answer = answer(headers, key);
    match request.extensions_mut().remove::<OnUpgrade>() {
        Some(upgrade) => Ok((answer, upgrade)),
        None => Err(refusal(
            StatusCode::UPGRADE_REQUIRED,
            (header::UPGRADE, "websocket"),
            "A WebSocket needs HTTP/1.1.\n",
        )),
    }
}

fn answer(headers: &HeaderMap, key: &HeaderValue) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept =
        HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is visible");
    let fields = answer.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if has_word(headers, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        fields.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
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

fn is_key(key: &HeaderValue) -> bool {
    data_encoding::BASE64.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16)
}
