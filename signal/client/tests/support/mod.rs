//! A tiny signaling server for these tests: it speaks docs/protocol.md as far as a client can see,
//! and it can misbehave.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::wildcard_enum_match_arm, reason = "what isn't expected fails")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use futures_util::{SinkExt, StreamExt};
use heliograph_client::{Channel, Data, Event, Options, Path, Peer, Room, join};
use serde_json::value::RawValue;
use signal_core::protocol::{
    ClientFrame, ClientMessage, Heartbeat, IceServer, LeaveReason, Limits, Member, SUBPROTOCOL,
    ServerFrame, Welcome,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// No step of these tests takes so long on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How the server deals with its clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behaviour {
    /// Both sides of a pair are told to offer.
    pub(crate) glare: bool,
    pub(crate) ice_servers: Vec<IceServer>,
}

/// A server with one room; dropped, it is gone with all its connections.
pub(crate) struct Server {
    pub(crate) url: String,
    _tasks: JoinSet<()>,
}

type Members = Arc<Mutex<BTreeMap<u32, (mpsc::Sender<Message>, Box<RawValue>)>>>;

impl Server {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let members = Members::default();
        Self::serve(move |number, socket, connections| {
            connections.spawn(serve(number, socket, Arc::clone(&members), behaviour.clone()));
        })
        .await
    }

    /// Answers each `hello` with this, and then waits for the client's end.
    pub(crate) async fn scripted(script: Vec<Message>) -> Self {
        Self::serve(move |_, mut socket, connections| {
            let script = script.clone();
            connections.spawn(async move {
                let _ = socket.next().await;
                for message in script {
                    let _ = socket.send(message).await;
                }
                while let Some(Ok(_)) = socket.next().await {}
            });
        })
        .await
    }

    async fn serve(
        mut handle: impl FnMut(u32, WebSocketStream<TcpStream>, &mut JoinSet<()>) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 1.. {
                let (tcp, _): (_, SocketAddr) = listener.accept().await.unwrap();
                handle(number, accept_hdr_async(tcp, upgrade).await.unwrap(), &mut connections);
            }
        });
        Self { url, _tasks: tasks }
    }
}

#[expect(clippy::result_large_err, reason = "tungstenite's signature")]
fn upgrade(
    request: &Request,
    mut response: Response,
) -> Result<Response, tokio_tungstenite::tungstenite::handshake::server::ErrorResponse> {
    assert_eq!(request.uri().path(), "/v1/ws");
    assert_eq!(request.headers()["sec-websocket-protocol"], SUBPROTOCOL);
    response.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
    Ok(response)
}

async fn serve(
    me: u32,
    mut socket: WebSocketStream<TcpStream>,
    members: Members,
    behaviour: Behaviour,
) {
    let (outgoing, mut waiting) = mpsc::channel(1024);
    let mut reason = LeaveReason::Lost;
    loop {
        let text = tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => break,
            },
            message = waiting.recv() => {
                let _ = socket.send(message.unwrap()).await;
                continue;
            }
        };
        match ClientMessage::parse(&text).unwrap().frame {
            ClientFrame::Hello { metadata, .. } => {
                let metadata = metadata
                    .map_or_else(|| RawValue::from_string("{}".into()).unwrap(), ToOwned::to_owned);
                join_room(me, &metadata, &outgoing, &members, &behaviour);
            }
            ClientFrame::Signal { to, data } => {
                let from = peer(me).into();
                send(&members, &to, &ServerFrame::Signal { from, data });
            }
            ClientFrame::Leave => {
                reason = LeaveReason::Left;
                let _ = socket.close(None).await;
            }
            ClientFrame::Ping => {}
        }
    }
    members.lock().unwrap().remove(&me);
    let others: Vec<u32> = members.lock().unwrap().keys().copied().collect();
    for other in others {
        send(&members, &peer(other), &ServerFrame::Left { peer: peer(me).into(), reason });
    }
}

fn join_room(
    me: u32,
    metadata: &RawValue,
    outgoing: &mpsc::Sender<Message>,
    members: &Members,
    behaviour: &Behaviour,
) {
    let mut members = members.lock().unwrap();
    // The newcomer offers and is polite.
    let joined = Member { peer: peer(me).into(), metadata, polite: false, offers: behaviour.glare };
    for (other, _) in members.values() {
        other.try_send(Message::text(ServerFrame::Joined(joined.clone()).encode())).unwrap();
    }
    let others = members.iter().map(|(id, (_, metadata))| Member {
        peer: peer(*id).into(),
        metadata,
        polite: true,
        offers: true,
    });
    let welcome = Welcome {
        room: "demo".into(),
        peer: peer(me).into(),
        members: others.collect(),
        ice_servers: behaviour.ice_servers.clone(),
        ice_ttl_s: 60,
        heartbeat: Heartbeat { interval_s: 20, timeout_s: 60 },
        limits: Limits { frame_bytes_max: 65_536, metadata_bytes_max: 1024, members_max: 8 },
    };
    outgoing.try_send(Message::text(ServerFrame::Welcome(welcome).encode())).unwrap();
    members.insert(me, (outgoing.clone(), metadata.to_owned()));
}

fn send(members: &Members, to: &str, frame: &ServerFrame<'_>) {
    let number: u32 = to.trim_start_matches("peer-").parse().unwrap();
    if let Some((outgoing, _)) = members.lock().unwrap().get(&number) {
        outgoing.try_send(Message::text(frame.encode())).unwrap();
    }
}

fn peer(number: u32) -> String {
    format!("peer-{number}")
}

/// Joins, as somebody with a name.
pub(crate) async fn join_as(server: &Server, name: &str) -> Room {
    let metadata = serde_json::json!({ "name": name });
    join(&server.url, "demo", Options { metadata, ..Options::default() }).await.unwrap()
}

/// The next event, or a panic.
pub(crate) async fn next(room: &mut Room) -> Event {
    timeout(PATIENCE, room.next()).await.expect("an event in time").expect("an open room")
}

/// Waits until somebody is connected.
pub(crate) async fn connected(room: &mut Room) -> (Peer, Path) {
    loop {
        match next(room).await {
            Event::Connected { peer, path } => return (peer, path),
            Event::PeerJoined(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The next message, or a panic.
pub(crate) async fn message(room: &mut Room) -> (Channel, Data) {
    match next(room).await {
        Event::Message { channel, data, .. } => (channel, data),
        other => panic!("{other:?}"),
    }
}

/// Two members of one room, connected.
pub(crate) async fn pair(server: &Server) -> ((Room, Peer), (Room, Peer)) {
    let mut ada = join_as(server, "ada").await;
    let mut bob = join_as(server, "bob").await;
    let ((to_bob, _), (to_ada, _)) = tokio::join!(connected(&mut ada), connected(&mut bob));
    ((ada, to_bob), (bob, to_ada))
}

/// A member that sends what it likes.
pub(crate) struct Mallory {
    socket: WebSocketStream<tokio_tungstenite::MaybeTlsStream<TcpStream>>,
}

impl Mallory {
    pub(crate) async fn join(server: &Server) -> Self {
        let mut request = format!("{}/v1/ws", server.url).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        socket.send(Message::text(r#"{"type":"hello","room":"demo"}"#)).await.unwrap();
        Self { socket }
    }

    pub(crate) async fn signal(&mut self, to: &str, data: &str) {
        let text = format!(r#"{{"type":"signal","to":"{to}","data":{data}}}"#);
        self.socket.send(Message::text(text)).await.unwrap();
    }
}

/// A welcome to an empty room.
pub(crate) fn welcome() -> Message {
    Message::text(
        r#"{"type":"welcome","room":"demo","peer":"peer-9","members":[],"ice_servers":[],
            "ice_ttl_s":60,
            "heartbeat":{"interval_s":4,"timeout_s":9},
            "limits":{"frame_bytes_max":65536,"metadata_bytes_max":1024,"members_max":8}}"#,
    )
}
