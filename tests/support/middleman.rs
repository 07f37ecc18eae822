//! Something between a client and the server that changes what they say to each other: so a real
//! client can be one that misbehaves, or that sits in a bad place.

use crate::support::Heliograph;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{accept_hdr_async, connect_async};

/// What clients ask for and the server selects (docs/protocol.md).
const SUBPROTOCOL: &str = "heliograph.v1";

/// A place where clients find the server by WebSocket; gone when dropped, with its connections.
#[derive(Debug)]
pub(crate) struct Middleman {
    pub(crate) url: String,
    carrying: JoinHandle<()>,
}

impl Middleman {
    /// Hands each frame of both directions to `edit`.
    pub(crate) async fn before(
        server: &Heliograph,
        edit: impl Fn(&mut Value) + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("ws://{}", listener.local_addr().expect("bound"));
        let far = server.announced("WebSocket").to_owned();
        let carrying = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(carry(near, far.clone(), edit.clone()));
            }
        });
        Self { url, carrying }
    }
}

impl Drop for Middleman {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

async fn carry(near: TcpStream, far: String, edit: impl Fn(&mut Value)) {
    let mut request = far.into_client_request().expect("a URL");
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    let (far, _) = connect_async(request).await.expect("the server is up");
    let near = accept_hdr_async(near, select_subprotocol).await.expect("a client of ours");
    let ((to_near, from_near), (to_far, from_far)) = (near.split(), far.split());
    tokio::select! {
        () = pass(from_near, to_far, &edit) => {}
        () = pass(from_far, to_near, &edit) => {}
    }
}

#[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
fn select_subprotocol(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let chosen = HeaderValue::from_static(SUBPROTOCOL);
    response.headers_mut().insert("sec-websocket-protocol", chosen);
    Ok(response)
}

async fn pass(
    mut from: impl Stream<Item = Result<Message, Error>> + Unpin,
    mut to: impl Sink<Message> + Unpin,
    edit: &impl Fn(&mut Value),
) {
    while let Some(Ok(message)) = from.next().await {
        let message = match message.to_text() {
            Ok(text) if message.is_text() => {
                let mut frame = serde_json::from_str(text).expect("JSON");
                edit(&mut frame);
                Message::text(frame.to_string())
            }
            Ok(_) | Err(_) => message,
        };
        if to.send(message).await.is_err() {
            return;
        }
    }
}
