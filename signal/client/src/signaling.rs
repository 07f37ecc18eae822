//! The connection to the server: a WebSocket that carries the frames of protocol v1.

use crate::config::{
    GOODBYE_TIMEOUT, READ_BUFFER_BYTES, SERVER_FRAME_BYTES_MAX, STEP_TIMEOUT, WRITE_TIMEOUT,
};
use crate::place::Place;
use crate::{Error, Peer};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use signal_core::protocol::{
    ClientFrame, ClientMessage, IceServer, Member, SUBPROTOCOL, ServerFrame, Welcome,
};
use signal_core::{PeerId, RoomId};
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// The close code that stands for a close frame without one (RFC 6455 §7.1.5).
const NO_STATUS: u16 = 1005;

/// A WebSocket to the server, not necessarily in a room yet.
#[derive(Debug)]
pub(crate) struct Signaling {
    socket: WebSocketStream<TcpStream>,
    place: Place,
    server: IpAddr,
    /// After so much silence the server is gone: it pings before.
    silence: Duration,
    heard: Instant,
    frame_bytes_max: usize,
}

/// A seat in a room, as the welcome describes it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) id: PeerId,
    pub(crate) members: Vec<Seated>,
    pub(crate) ice_servers: Vec<IceServer>,
}

/// Another peer, and this side's roles towards it.
#[derive(Debug)]
pub(crate) struct Seated {
    pub(crate) peer: Peer,
    pub(crate) polite: bool,
    pub(crate) offers: bool,
}

impl Signaling {
    /// Connects and upgrades.
    pub(crate) async fn connect(place: Place) -> Result<Self, Error> {
        let tcp = step(&place, TcpStream::connect((&*place.host, place.port))).await?;
        let unreachable = |reason| Error::Unreachable { address: place.address(), reason };
        let tcp = tcp.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let server = tcp.peer_addr().map_err(unreachable)?.ip();
        let not_ours = |error: WsError| Error::NotHeliograph {
            address: place.address(),
            why: error.to_string(),
        };
        let mut request = (&*place.url).into_client_request().map_err(not_ours)?;
        let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert("sec-websocket-protocol", subprotocol);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(SERVER_FRAME_BYTES_MAX))
            .max_frame_size(Some(SERVER_FRAME_BYTES_MAX));
        let upgrade = client_async_with_config(request, tcp, Some(config));
        let (socket, _) = step(&place, upgrade).await?.map_err(not_ours)?;
        let (silence, heard) = (STEP_TIMEOUT, Instant::now());
        Ok(Self { socket, place, server, silence, heard, frame_bytes_max: usize::MAX })
    }

    /// Asks for a seat.
    pub(crate) async fn hello(&mut self, room: &RoomId, metadata: &Value) -> Result<Seat, Error> {
        let raw = to_raw_value(metadata).map_err(|_| Error::BadMetadata)?;
        let metadata = metadata.is_object().then_some(&*raw);
        self.send(ClientFrame::Hello { room: room.as_str().into(), metadata }).await?;
        self.heard = Instant::now();
        loop {
            let text = self.next().await?;
            match self.read(&text)? {
                ServerFrame::Welcome(welcome) => return self.sit_down(welcome),
                ServerFrame::Error(refusal) => {
                    return Err(Error::Refused {
                        code: refusal.code,
                        text: refusal.text.into_owned(),
                        retry: refusal.retry,
                    });
                }
                ServerFrame::Unknown | ServerFrame::Pong { .. } => {}
                ServerFrame::Joined(_) | ServerFrame::Left { .. } | ServerFrame::Signal { .. } => {
                    return Err(self.not_ours("something else came before its welcome"));
                }
            }
        }
    }

    /// The next text frame. Pings are answered on the way. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Utf8Bytes, Error> {
        loop {
            let Ok(message) = timeout_at(self.heard + self.silence, self.socket.next()).await
            else {
                return Err(Error::Timeout { address: self.place.address(), after: self.silence });
            };
            self.heard = Instant::now();
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Binary(_))) => return Err(self.not_ours("it sent a binary frame")),
                Some(Ok(Message::Close(frame))) => {
                    let (code, text) = frame.map_or_else(
                        || (NO_STATUS, "it gave no reason".to_owned()),
                        |frame| (frame.code.into(), frame.reason.to_string()),
                    );
                    return Err(Error::Closed { code, text });
                }
                Some(Err(
                    error @ (WsError::Utf8(_) | WsError::Capacity(_) | WsError::Protocol(_)),
                )) if !is_broken(&error) => {
                    return Err(self.not_ours(&error.to_string()));
                }
                Some(Err(error)) => return Err(Error::Lost(error.to_string())),
                None => return Err(Error::Lost("it ended without a close frame".to_owned())),
            }
        }
    }

    /// Reads a text frame.
    pub(crate) fn read<'a>(&self, text: &'a str) -> Result<ServerFrame<'a>, Error> {
        ServerFrame::parse(text).map_err(|error| self.not_ours(&error.to_string()))
    }

    /// Reads what a frame says about a peer.
    pub(crate) fn seated(&self, member: &Member<'_>) -> Result<Seated, Error> {
        let metadata = serde_json::from_str(member.metadata.get())
            .map_err(|error| self.not_ours(&error.to_string()))?;
        let peer = Peer::new(self.peer_id(&member.peer)?, metadata);
        Ok(Seated { peer, polite: member.polite, offers: member.offers })
    }

    /// Passes a signal to another member. One over the server's limit is left out, since it would
    /// only cost the seat.
    pub(crate) async fn signal(&mut self, to: &PeerId, data: &RawValue) -> Result<(), Error> {
        self.send(ClientFrame::Signal { to: to.as_str().into(), data }).await
    }

    /// Gives the seat back and closes the connection in order.
    pub(crate) async fn leave(mut self) {
        let goodbye = async {
            self.send(ClientFrame::Leave).await?;
            while self.next().await.is_ok() {}
            // Lets tungstenite send the close frame's answer.
            while let Some(Ok(_)) = self.socket.next().await {}
            Ok::<(), Error>(())
        };
        let _ = timeout(GOODBYE_TIMEOUT, goodbye).await;
    }

    /// Whether the server is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.server.is_loopback()
    }

    fn sit_down(&mut self, welcome: Welcome<'_>) -> Result<Seat, Error> {
        self.silence = Duration::from_secs(welcome.heartbeat.timeout_s.clamp(1, 3600));
        self.frame_bytes_max = welcome.limits.frame_bytes_max;
        Ok(Seat {
            id: self.peer_id(&welcome.peer)?,
            members: welcome
                .members
                .iter()
                .map(|member| self.seated(member))
                .collect::<Result<_, _>>()?,
            ice_servers: welcome.ice_servers,
        })
    }

    async fn send(&mut self, frame: ClientFrame<'_>) -> Result<(), Error> {
        let text = ClientMessage { id: None, frame }.encode();
        if text.len() > self.frame_bytes_max {
            tracing::warn!(
                bytes = text.len(),
                "a frame is left out: it is over the server's limit"
            );
            return Ok(());
        }
        match timeout(WRITE_TIMEOUT, self.socket.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            // Its reason, such as a close code, is still to be read.
            Ok(Err(WsError::AlreadyClosed | WsError::ConnectionClosed | WsError::Protocol(_))) => {
                Ok(())
            }
            Ok(Err(error)) => Err(Error::Lost(error.to_string())),
            Err(_) => Err(Error::Lost("it doesn't read any more".to_owned())),
        }
    }

    fn peer_id(&self, text: &str) -> Result<PeerId, Error> {
        PeerId::parse(text).map_err(|error| self.not_ours(&format!("a peer's id: {error}")))
    }

    fn not_ours(&self, why: &str) -> Error {
        Error::NotHeliograph { address: self.place.address(), why: why.to_owned() }
    }
}

/// Whether the connection broke, rather than carried something wrong.
fn is_broken(error: &WsError) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    matches!(error, WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake))
}

async fn step<T>(place: &Place, future: impl Future<Output = T>) -> Result<T, Error> {
    timeout(STEP_TIMEOUT, future)
        .await
        .map_err(|_| Error::Timeout { address: place.address(), after: STEP_TIMEOUT })
}
