//! The files of pages, which are part of the program; and those of the pages for everybody: rooms
//! at `/`, and `/check`, which says what a network lets through.

use crate::edges::Edges;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use rust_embed::{Embed, EmbeddedFile};
use std::sync::Arc;

/// Only the page's own scripts and styles run, and it talks only to WebSockets and its own server.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

/// Lets pages embed a file that allow only what says that it may be.
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// What `/check` and the operator's own page have of the page.
const SHARED: [&str; 2] = ["look.css", "favicon.svg"];

#[derive(Embed)]
#[folder = "page/"]
struct Files;

/// The TypeScript SDK, as it is built by `npm run build` in `signal/client-js`.
#[derive(Embed)]
#[folder = "../client-js/dist/"]
struct Sdk;

/// `GET /heliograph.js`: the SDK, for pages of all origins.
pub(crate) async fn sdk(headers: HeaderMap) -> Response {
    let mut response = serve_file::<Sdk>("heliograph.js", &headers);
    let fields = response.headers_mut();
    fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    fields.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    response
}

/// `GET /`: the page, or the operator's own.
pub(crate) async fn index(State(edges): State<Arc<Edges>>, headers: HeaderMap) -> Response {
    match &edges.config.page {
        Some(folder) => folder.serve("", &headers).await.unwrap_or_else(nothing),
        None => serve_file::<Files>("index.html", &headers),
    }
}

/// `GET /check`: the page that checks what gets through from where it is opened.
pub(crate) async fn check(headers: HeaderMap) -> Response {
    serve_file::<Files>("check/index.html", &headers)
}

/// `GET /check/`: its files are named from where `/check` is.
pub(crate) async fn check_folder() -> Redirect {
    Redirect::permanent("../check")
}

/// `GET /look.css`: the style that all pages share, the operator's too.
pub async fn look(headers: HeaderMap) -> Response {
    serve_file::<Files>("look.css", &headers)
}

/// `GET /{name}`: one of their files, or of the operator's own page, which may use what they share.
pub(crate) async fn asset(
    State(edges): State<Arc<Edges>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(folder) = &edges.config.page else {
        return serve_file::<Files>(&name, &headers);
    };
    let is_shared = SHARED.contains(&&*name) || name.starts_with("check/");
    match folder.serve(&name, &headers).await {
        Some(answer) => answer,
        None if is_shared => serve_file::<Files>(&name, &headers),
        None => nothing(),
    }
}

/// Answers with a file of a page, so that no other scripts and styles run in it; only if it has
/// changed, for who has it already.
pub fn serve_file<F: Embed>(name: &str, headers: &HeaderMap) -> Response {
    let mut response = match F::get(name) {
        Some(file) => found(name, file, headers),
        None => nothing(),
    };
    secure(response.headers_mut());
    response
}

fn found(name: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let hash = data_encoding::HEXLOWER.encode(&file.metadata.sha256_hash()[..16]);
    let tag = HeaderValue::try_from(format!("\"{hash}\"")).expect("hex digits are visible");
    // Asked for anew each time, but sent only if it has changed.
    let fresh = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return (StatusCode::NOT_MODIFIED, fresh).into_response();
    }
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)))];
    (fresh, kind, Body::from(file.data.into_owned())).into_response()
}

fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "There is nothing here. The page is at /\n").into_response()
}

/// What a file is, by the end of its name.
pub(crate) fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "wasm" => "application/wasm",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn secure(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
