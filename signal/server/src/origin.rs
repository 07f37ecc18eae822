//! Which pages of browsers may use the signaling server, and what tells their browsers so (CORS,
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>). Other programs have no origin and aren't
//! asked for one.

use crate::access::refusal;
use crate::edges::Edges;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::middleware::Next;
use signal_core::protocol::ErrorCode;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Pages of which origins are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// All.
    #[default]
    Any,
    /// These, and those of the server's own host.
    Only(Vec<WebOrigin>),
}

/// Where a page comes from, such as `https://example.org`, as browsers write it (RFC 6454 §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(String);

/// A text that is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadOrigin;

/// How long a browser remembers that it may ask: two hours, the most that Chromium takes.
const PREFLIGHT_S: &str = "7200";

/// What a page may send beside what every page may, and what it may see of an answer.
const HEADERS: &str = "authorization, content-type, last-event-id";
const SHOWN: &str = "retry-after";

impl FromStr for WebOrigin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        // Of files and of frames without rights.
        if text == "null" {
            return Ok(Self(text));
        }
        let uri: Uri = text.parse().map_err(|_| BadOrigin)?;
        let authority = uri.authority().ok_or(BadOrigin)?;
        let scheme = uri.scheme_str().ok_or(BadOrigin)?;
        let is_bare = text == format!("{scheme}://{authority}") && !text.contains(['@', '*']);
        if is_bare { Ok(Self(text)) } else { Err(BadOrigin) }
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for BadOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an origin is written as https://example.org, with a port if it has one")
    }
}

impl std::error::Error for BadOrigin {}

impl Origins {
    /// Whether a page of this origin is served to a client that asks for `host`.
    fn allow(&self, origin: &HeaderValue, host: Option<&str>) -> bool {
        let Self::Only(list) = self else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        list.iter().any(|allowed| allowed.0 == origin) || is_own(origin, host)
    }
}

/// Whether a page is of the host that it asks. Some proxies pass on the name of the host without
/// its port: then the name is enough.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    let (Some(host), Ok(origin)) = (host, origin.parse::<Uri>()) else { return false };
    let (Some(page), Some(_)) = (origin.authority(), origin.scheme()) else { return false };
    page.as_str().eq_ignore_ascii_case(host) || page.host().eq_ignore_ascii_case(host)
}

/// Refuses pages that may not, answers browsers that ask first, and marks the answers to others.
pub(crate) async fn check(
    State(edges): State<Arc<Edges>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let origins = &edges.config.origins;
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    // Over HTTP/2 it is in the URI.
    let host = host.or(request.uri().authority().map(|authority| authority.as_str()));
    if !origins.allow(&origin, host) {
        edges.counters.count_refusal(ErrorCode::Forbidden);
        let text = "pages of this origin may not use this server: its operator can permit it with \
                    --allow-origin";
        return refusal(ErrorCode::Forbidden, text);
    }
    let asks_first = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut answer = match asks_first {
        true => preflight(),
        false => next.run(request).await,
    };
    mark(answer.headers_mut(), origins, origin);
    answer
}

fn preflight() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let fields = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_S),
    ];
    for (name, value) in fields {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn mark(fields: &mut HeaderMap, origins: &Origins, origin: HeaderValue) {
    // No cookies are used, so all pages may be told the same.
    let allowed = match origins {
        Origins::Any => HeaderValue::from_static("*"),
        Origins::Only(_) => origin,
    };
    fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    fields.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(SHOWN));
    if matches!(origins, Origins::Only(_)) {
        fields.append(header::VARY, HeaderValue::from_static("origin"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        for (text, read) in [
            ("https://Example.org/", "https://example.org"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://[2001:db8::1]:1", "https://[2001:db8::1]:1"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("null", "null"),
        ] {
            assert_eq!(text.parse::<WebOrigin>().unwrap().to_string(), read);
        }
        for bad in ["example.org", "https://", "https://a/b", "https://*.a", "https://u@a", "", "/"]
        {
            assert_eq!(bad.parse::<WebOrigin>(), Err(BadOrigin), "{bad}");
        }
    }

    #[test]
    fn pages_of_the_list_and_of_the_own_host_are_served() {
        let only = Origins::Only(vec!["https://example.org".parse().unwrap()]);
        let allows = |origins: &Origins, origin: &'static str, host: &str| {
            origins.allow(&HeaderValue::from_static(origin), Some(host))
        };
        for (origin, host, allowed) in [
            ("https://example.org", "meet", true),
            ("https://example.org:8443", "meet", false),
            ("http://example.org", "meet", false),
            ("https://example.org.evil", "meet", false),
            ("https://meet", "meet", true),
            ("https://meet:8443", "meet:8443", true),
            ("https://meet:8443", "meet", true),
            ("https://meet:1", "meet:8443", false),
            ("https://evilmeet", "meet", false),
            ("null", "null", false),
        ] {
            assert_eq!(allows(&only, origin, host), allowed, "{origin} {host}");
            assert!(allows(&Origins::Any, origin, host));
        }
    }
}
