//! Requests to the server, by hyper.

use super::stream::{connect, step};
use crate::Error;
use crate::place::Place;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use signal_core::client::HttpRequest;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Makes requests of one server, over a connection that is used again as long as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    place: Place,
    idle: Arc<Mutex<Option<Connection>>>,
}

type Connection = SendRequest<Full<Bytes>>;

/// An answer, whose body comes in parts.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: Incoming,
    /// The connection, and where it goes when the body has come.
    connection: Option<Connection>,
    http: Http,
}

impl Http {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, idle: Arc::default() }
    }

    /// Makes a request, and waits for the head of the answer.
    pub(crate) async fn fetch(&self, request: &HttpRequest) -> Result<Answer, Error> {
        let idle = self.idle().take();
        if let Some(connection) = idle.filter(SendRequest::is_ready)
            && let Ok(answer) = self.ask(connection, request).await
        {
            return Ok(answer);
        }
        // The server closes connections that are idle for long: another one is tried. It does
        // nothing twice.
        let (io, _) = connect(&self.place).await?;
        let lost = |error: hyper::Error| Error::Lost(error.to_string());
        let (connection, driver) =
            step(&self.place, handshake(TokioIo::new(io))).await?.map_err(lost)?;
        tokio::spawn(driver);
        self.ask(connection, request).await.map_err(lost)
    }

    async fn ask(
        &self,
        mut connection: Connection,
        request: &HttpRequest,
    ) -> Result<Answer, hyper::Error> {
        let HttpRequest { method, path, key, body } = request;
        let mut head = Request::builder()
            .method(method.as_str())
            .uri(format!("{}/{path}", self.place.prefix))
            .header(header::HOST, self.place.authority())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            head = head.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let body = Full::from(Bytes::from(body.clone().unwrap_or_default()));
        let request = head.body(body).expect("the server's own names and keys fit into a head");
        let response: Response<Incoming> = connection.send_request(request).await?;
        let (status, body) = (response.status().as_u16(), response.into_body());
        Ok(Answer { status, body, connection: Some(connection), http: self.clone() })
    }

    fn idle(&self) -> MutexGuard<'_, Option<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    /// The next part of the body; none when all has come.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(error)) => return Err(Error::Lost(error.to_string())),
                None => {
                    *self.http.idle() = self.connection.take();
                    return Ok(None);
                }
            }
        }
    }
}
