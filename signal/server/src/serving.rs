//! One connection of the HTTP server: HTTP/1.1 or HTTP/2, as its first bytes say, until it ends, is
//! idle, takes nothing, or the server ends.

use crate::activity::{Activity, UnderWay, Untaken};
use crate::http::{Connection, Counts};
use crate::{Http2Limits, HttpLimits};
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Request, Response, StatusCode, Version, header};
use futures_util::future::Either;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready as ready_or_pending};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

/// The largest piece of an answer: HTTP/2 takes pieces as the client does, and one that it has
/// taken is in memory until it is sent.
const PIECE_BYTES: usize = 4096;

const BUSY: &str = "The server has as many connections as it may have now\n";
const MANY_HEADERS: &str = "The request has too many headers\n";

/// What all connections of a listener have in common.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) limits: Arc<HttpLimits>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) router: Router,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Serving {
    /// Serves one connection until its end, or until it is a WebSocket of HTTP/1.1.
    pub(crate) async fn serve<S>(self, stream: S, connection: Connection)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { limits, counts, router, mut stopping } = self;
        let activity = Arc::new(Activity::default());
        let answers = Answers {
            routes: TowerToHyperService::new(router),
            connection,
            activity: activity.clone(),
            headers_max: limits.headers_max,
            counts,
        };
        let builder = builder(&limits);
        let service = service_fn(move |request| answers.answer(request));
        let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut serving = pin!(serving);
        let stop = async { stopping.wait_for(|stopping| *stopping).await.is_ok() };
        let served = tokio::select! {
            served = serving.as_mut() => served,
            () = activity.stands_still(limits.untaken_timeout) => {
                return debug!("a client took nothing of what it was sent, and is cut");
            }
            () = async {
                tokio::select! {
                    () = activity.is_idle(limits.header_read_timeout) => {}
                    _ = stop => {}
                }
            } => {
                serving.as_mut().graceful_shutdown();
                timeout(limits.shutdown_timeout, serving).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = served {
            debug!(%error, "a connection ended early");
        }
    }
}

fn builder(limits: &HttpLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_buf_size(limits.header_bytes_max)
        .max_headers(limits.headers_max);
    let Http2Limits {
        streams_max,
        stream_window_bytes,
        connection_window_bytes,
        send_buffer_bytes,
        resets_pending_max,
        error_resets_max,
        ping_interval,
        ping_timeout,
    } = limits.http2;
    builder
        .http2()
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(streams_max)
        .initial_stream_window_size(stream_window_bytes)
        .initial_connection_window_size(connection_window_bytes)
        .max_send_buf_size(send_buffer_bytes)
        .max_pending_accept_reset_streams(resets_pending_max)
        .max_local_error_reset_streams(error_resets_max)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(ping_interval)
        .keep_alive_timeout(ping_timeout);
    builder
}

/// Answers the requests of one connection.
#[derive(Debug)]
struct Answers {
    routes: TowerToHyperService<Router>,
    connection: Connection,
    activity: Arc<Activity>,
    headers_max: usize,
    counts: Arc<Counts>,
}

impl Answers {
    fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Answer>, Infallible>> + use<> {
        let under_way = UnderWay::new(&self.activity);
        let connection = match self.admit(&request) {
            Ok(connection) => connection,
            Err((status, text)) => {
                let answer = Answer::new(Body::from(text), under_way, None);
                return Either::Left(ready(Ok(refusal(status, answer))));
            }
        };
        request.extensions_mut().insert(connection.clone());
        let routed = self.routes.call(request);
        Either::Right(async move {
            let response = routed.await?;
            Ok(response.map(|body| Answer::new(body, under_way, Some(connection))))
        })
    }

    /// The connection as this request knows it, or why it is refused.
    fn admit(&self, request: &Request<Incoming>) -> Result<Connection, (StatusCode, &'static str)> {
        let is_http2 = request.version() == Version::HTTP_2;
        let requests = if is_http2 { &self.counts.http2 } else { &self.counts.http1 };
        requests.fetch_add(1, Ordering::Relaxed);
        if request.headers().len() > self.headers_max {
            return Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, MANY_HEADERS));
        }
        if !is_http2 {
            return Ok(self.connection.clone());
        }
        // What it holds is held as long as the request is under way, its WebSocket included.
        self.connection.stream(UnderWay::new(&self.activity)).ok_or_else(|| {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            (StatusCode::SERVICE_UNAVAILABLE, BUSY)
        })
    }
}

fn refusal(status: StatusCode, answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        fields.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

/// The body of an answer, in small pieces; while it is there, its request is under way.
#[derive(Debug)]
struct Answer {
    body: Body,
    rest: Bytes,
    untaken: Option<Untaken>,
    under_way: UnderWay,
    _connection: Option<Connection>,
}

impl Answer {
    fn new(body: Body, under_way: UnderWay, connection: Option<Connection>) -> Self {
        Self { body, rest: Bytes::new(), untaken: None, under_way, _connection: connection }
    }

    fn give(&mut self) -> Frame<Bytes> {
        self.untaken = Some(self.under_way.gives());
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        Frame::data(piece)
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.untaken = None;
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.give())));
        }
        let frame = ready_or_pending!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => {
                self.rest = data;
                Some(Ok(self.give()))
            }
            Some(Ok(Err(other))) => Some(Ok(other)),
            Some(Err(error)) => Some(Err(error)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
