//! The admin API: what an operator sees of a running program and does to it, as JSON on a listener
//! of its own; a page that uses it; and the document that describes it.
//!
//! Here the halves meet: both are asked by their public methods only. Every route under `/v1/` but
//! the document needs the token.

mod allocations;
mod answer;
mod config;
mod draining;
mod gate;
mod live;
mod page;
mod rooms;
mod samples;
mod status;

pub(crate) use config::AdminConfig;

use crate::banner::Addresses;
use crate::drain::Drains;
use crate::ops::ReadSamples;
use answer::{Problem, Refusal};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use config::Limits;
use gate::Gate;
use heliograph_base::{Clock, Secret, Time};
use relay_server::Relay;
use signal_server::{Connection, Http, HttpLimits, Signal};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::SecurityScheme;
use utoipa::openapi::security::{Http as HttpScheme, HttpAuthScheme, SecurityRequirement};
use utoipa::openapi::{Components, ContentBuilder, PathItem, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What of the program the API shows and moves.
pub(crate) struct Site {
    pub(crate) clock: Clock,
    pub(crate) addresses: Addresses,
    pub(crate) signal: Option<Signal>,
    pub(crate) relay: Option<Arc<Relay>>,
    pub(crate) read: ReadSamples,
    pub(crate) drains: Drains,
    /// Turns true when the program ends.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Serves the API on a listener until the program ends.
pub(crate) async fn serve(site: Site, token: Secret, listener: TcpListener) {
    let limits = Limits::default();
    let http = HttpLimits { connections_max: limits.connections_max, ..HttpLimits::default() };
    let mut stopping = site.stopping.clone();
    let stopped = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
    Http::new(http).serve(listener, router(site, token, limits), stopped).await;
}

/// What all routes share.
struct Admin {
    clock: Clock,
    addresses: Addresses,
    signal: Option<Signal>,
    relay: Option<Arc<Relay>>,
    read: ReadSamples,
    drains: Drains,
    stopping: watch::Receiver<bool>,
    gate: Gate,
    limits: Limits,
    live_places: Arc<Semaphore>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Admin {
    fn new(site: Site, token: Secret, limits: Limits) -> Self {
        let Site { clock, addresses, signal, relay, read, drains, stopping } = site;
        let (gate, live_places) = (Gate::new(token, limits), Semaphore::new(limits.live_max));
        let live_places = Arc::new(live_places);
        Self { clock, addresses, signal, relay, read, drains, stopping, gate, limits, live_places }
    }

    /// How many things one page of an answer may have.
    fn page(&self, asked: Option<usize>) -> Result<usize, Refusal> {
        let most = self.limits.page_max;
        let limit = asked.unwrap_or(self.limits.page_default);
        if !(1..=most).contains(&limit) {
            return Err(Refusal::BadRequest(format!("limit: needs 1 to {most}")));
        }
        Ok(limit)
    }

    fn uptime_s(&self) -> u64 {
        self.clock.now().time.since(Time::START).as_secs()
    }
}

fn router(site: Site, token: Secret, limits: Limits) -> Router {
    let admin = Arc::new(Admin::new(site, token, limits));
    let (api, document) = api();
    let document = Arc::new(document.to_json().expect("a document is JSON"));
    let answer = move || async move { described(&document) };
    api.method_not_allowed_fallback(async || Refusal::WrongMethod)
        .layer(from_fn_with_state(admin.clone(), guard))
        .with_state(admin)
        .route("/v1/openapi.json", get(answer))
        .route("/", get(page::index))
        .route("/look.css", get(signal_server::look))
        .route("/{name}", get(page::asset))
        .fallback(async || Refusal::NotFound("there is nothing here: see /v1/openapi.json"))
}

/// The routes and their description, which can't differ.
fn api() -> (Router<Arc<Admin>>, utoipa::openapi::OpenApi) {
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status::show))
        .routes(routes!(live::live))
        .routes(routes!(rooms::list))
        .routes(routes!(rooms::show, rooms::close))
        .routes(routes!(rooms::kick))
        .routes(routes!(allocations::list))
        .routes(routes!(allocations::revoke))
        .routes(routes!(draining::show, draining::begin))
        .split_for_parts();
    finish(&mut document);
    (router, document)
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Heliograph admin API", description = "What an operator sees and does."),
    components(schemas(Problem))
)]
struct Document;

/// What holds for every route: who may ask, and how it may be refused.
fn finish(document: &mut utoipa::openapi::OpenApi) {
    let scheme = SecurityScheme::Http(HttpScheme::new(HttpAuthScheme::Bearer));
    let components = document.components.get_or_insert_with(Components::new);
    components.add_security_scheme("token", scheme);
    document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            for (status, description) in REFUSALS {
                let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
                let response = ResponseBuilder::new().description(description);
                let response = response.content("application/json", content.build()).build();
                operation.responses.responses.insert(status.to_owned(), RefOr::T(response));
            }
        }
    }
}

/// How any request may be refused.
const REFUSALS: [(&str, &str); 5] = [
    ("400", "The request can't be meant"),
    ("401", "No token, or a wrong one"),
    ("413", "The body is too large"),
    ("429", "Too many wrong tokens came from this address"),
    ("503", "The program can't do it at the moment"),
];

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, post, delete, .. } = item;
    [get, post, delete].into_iter().flatten()
}

fn described(document: &str) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.to_owned()).into_response()
}

/// Lets requests with the token pass.
async fn guard(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>();
    let address = connection.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |known| known.peer.ip());
    let now = admin.clock.now().time;
    if let Err(refusal) = admin.gate.check(now, address, bearer(request.headers())) {
        return refusal.into_response();
    }
    let bytes_max = admin.limits.body_bytes_max;
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > bytes_max as u64) {
        return Refusal::TooLarge { bytes_max }.into_response();
    }
    next.run(request).await
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
