//! The page of the admin API: a program of its own that runs in the operator's browser, talks to
//! the API like any other, and has to be given the token.

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;
use rust_embed::Embed;

#[derive(Embed)]
#[folder = "src/admin/page/"]
struct Files;

/// `GET /`: the page.
pub(super) async fn index(headers: HeaderMap) -> Response {
    signal_server::serve_file::<Files>("index.html", &headers)
}

/// `GET /{name}`: one of its files.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    signal_server::serve_file::<Files>(&name, &headers)
}
