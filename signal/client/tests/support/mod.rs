//! A tiny signaling server for these tests, with the rooms and sessions of the real one: it can
//! misbehave.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::wildcard_enum_match_arm, reason = "what isn't expected fails")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use futures_util::{SinkExt, StreamExt};
use heliograph_base::{Now, Secret, Time, UnixTime};
use heliograph_client::{Data, Event, Options, Path, Peer, Room, join};
use serde_json::Value;
use signal_core::protocol::{IceServer, SUBPROTOCOL};
use signal_core::{Config, Edge, EdgeId, End, Hub, IceUrls, Seed, Transmit, TurnKey};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// No step of these tests takes so long on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How the server deals with its clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behaviour {
    /// Both sides of a pair are told to offer.
    pub(crate) glare: bool,
    /// What clients are told instead of none.
    pub(crate) ice_servers: Vec<IceServer>,
    pub(crate) config: Config,
    /// Gives TURN credentials for so long.
    pub(crate) turn_ttl: Option<Duration>,
}

/// A server; dropped, it is gone with all its connections.
pub(crate) struct Server {
    pub(crate) url: String,
    desk: Option<mpsc::Sender<Said>>,
    _tasks: JoinSet<()>,
}

/// What a connection, or a test, says to the desk.
enum Said {
    Opened(u64, mpsc::Sender<Message>),
    Text(u64, String),
    SignOfLife(u64),
    Closed(u64, Option<u16>),
    Broken(u64),
    /// All connections are to break, or one.
    Cut(Option<u64>),
    /// No more connections are to be served.
    Refuse,
    /// The rooms and sessions are to be forgotten.
    Restart,
}

impl Server {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let (desk, said) = mpsc::channel(1024);
        let mut server = Self::serve({
            let desk = desk.clone();
            move |number, socket, connections| {
                connections.spawn(carry(number, socket, desk.clone()));
            }
        })
        .await;
        server._tasks.spawn(Desk::new(behaviour).run(said));
        server.desk = Some(desk);
        server
    }

    /// Answers the first frame of each connection with this, and then waits for the client's end.
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

    /// Breaks all connections; clients may come back.
    pub(crate) async fn cut(&self) {
        self.say(Said::Cut(None)).await;
    }

    /// Breaks one connection; they are counted from 1.
    pub(crate) async fn cut_one(&self, number: u64) {
        self.say(Said::Cut(Some(number))).await;
    }

    /// Serves those that are connected, but nobody else.
    pub(crate) async fn refuse_all(&self) {
        self.say(Said::Refuse).await;
    }

    /// Ends all connections and forgets everything.
    pub(crate) async fn restart(&self) {
        self.say(Said::Restart).await;
    }

    async fn say(&self, said: Said) {
        assert!(self.desk.as_ref().unwrap().send(said).await.is_ok());
    }

    async fn serve(
        mut handle: impl FnMut(u64, WebSocketStream<TcpStream>, &mut JoinSet<()>) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 1.. {
                let (tcp, _): (_, SocketAddr) = listener.accept().await.unwrap();
                if let Ok(socket) = accept_hdr_async(tcp, upgrade).await {
                    handle(number, socket, &mut connections);
                }
                while connections.try_join_next().is_some() {}
            }
        });
        Self { url, desk: None, _tasks: tasks }
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

/// Carries one connection's frames, until the desk drops its end.
async fn carry(number: u64, mut socket: WebSocketStream<TcpStream>, desk: mpsc::Sender<Said>) {
    let (outgoing, mut waiting) = mpsc::channel(1024);
    let mut said = Said::Opened(number, outgoing);
    loop {
        if desk.send(said).await.is_err() {
            return;
        }
        said = tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => Said::Text(number, text.to_string()),
                Some(Ok(Message::Close(frame))) => {
                    Said::Closed(number, frame.map(|frame| frame.code.into()))
                }
                Some(Ok(_)) => Said::SignOfLife(number),
                Some(Err(_)) | None => {
                    let _ = desk.send(Said::Broken(number)).await;
                    return;
                }
            },
            message = waiting.recv() => {
                let Some(message) = message else { return };
                let _ = socket.send(message).await;
                Said::SignOfLife(number)
            }
        };
    }
}

/// The rooms and sessions, and the edges of all connections.
struct Desk {
    behaviour: Behaviour,
    started: Instant,
    hub: Hub,
    edges: BTreeMap<u64, (Edge, mpsc::Sender<Message>)>,
    refuses: bool,
}

impl Desk {
    fn new(behaviour: Behaviour) -> Self {
        let hub = hub(&behaviour, 1);
        Self { behaviour, started: Instant::now(), hub, edges: BTreeMap::new(), refuses: false }
    }

    async fn run(mut self, mut said: mpsc::Receiver<Said>) {
        loop {
            let edges = self.edges.values().filter_map(|(edge, _)| edge.poll_timeout());
            let due = edges.chain(self.hub.poll_timeout()).min();
            let due = due.map_or(Duration::from_secs(60), Time::since_start);
            tokio::select! {
                said = said.recv() => match said {
                    Some(said) => self.handle(said),
                    None => return,
                },
                () = sleep_until(self.started + due) => {}
            }
            let now = self.now();
            self.hub.handle_timeout(now);
            self.edges.values_mut().for_each(|(edge, _)| edge.handle_timeout(now.time));
            while self.pass_on() {}
        }
    }

    fn now(&self) -> Now {
        let elapsed = self.started.elapsed();
        let unix = UnixTime { seconds: 1_700_000_000 } + elapsed;
        Now { time: Time::after_start(elapsed), unix }
    }

    fn handle(&mut self, said: Said) {
        let now = self.now().time;
        let ice = Arc::new(IceUrls {
            stun: Vec::new(),
            turn: vec!["turn:127.0.0.1:9?transport=udp".to_owned()],
            others: Vec::new(),
        });
        match said {
            Said::Opened(..) if self.refuses => {}
            Said::Opened(number, outgoing) => {
                let edge = Edge::new(now, Arc::new(self.behaviour.config.clone()), ice);
                self.edges.insert(number, (edge, outgoing));
            }
            Said::Text(number, text) => self.with(number, |edge| edge.handle_text(now, &text)),
            Said::SignOfLife(number) => self.with(number, |edge| edge.handle_sign_of_life(now)),
            Said::Closed(number, code) => self.with(number, |edge| edge.handle_closed(code)),
            Said::Broken(number) => self.with(number, Edge::handle_broken),
            Said::Cut(None) => self.edges.values_mut().for_each(|(edge, _)| edge.handle_broken()),
            Said::Cut(Some(number)) => self.with(number, Edge::handle_broken),
            Said::Refuse => self.refuses = true,
            Said::Restart => {
                self.edges.clear();
                self.hub = hub(&self.behaviour, 2);
            }
        }
    }

    fn with(&mut self, number: u64, act: impl FnOnce(&mut Edge)) {
        if let Some((edge, _)) = self.edges.get_mut(&number) {
            act(edge);
        }
    }

    /// Moves what hub and edges have to say; whether there was anything.
    fn pass_on(&mut self) -> bool {
        let now = self.now();
        let mut any = false;
        for (number, (edge, outgoing)) in &mut self.edges {
            while let Some(request) = edge.poll_request() {
                any = true;
                self.hub.handle(now, EdgeId(*number), request);
            }
            while let Some(transmit) = edge.poll_transmit() {
                let message = match transmit {
                    Transmit::Frame(frame) => self.behaviour.twist(frame.text().as_str()),
                    Transmit::Refusal(_, frame) => Message::text(frame.as_str()),
                    Transmit::Ping => Message::Ping(Vec::new().into()),
                };
                let _ = outgoing.try_send(message);
            }
            if let Some(End::Close(code)) = edge.ended() {
                let (code, reason) = (code.number().into(), code.text().into());
                let _ = outgoing.try_send(Message::Close(Some(CloseFrame { code, reason })));
            }
        }
        self.edges.retain(|_, (edge, _)| edge.ended().is_none());
        while let Some(output) = self.hub.poll_output() {
            any = true;
            self.with(output.to.0, |edge| edge.handle_event(output.event));
        }
        any
    }
}

fn hub(behaviour: &Behaviour, random: u8) -> Hub {
    let turn = behaviour.turn_ttl.map(|ttl| {
        let secret = Secret::from_text("north").unwrap();
        TurnKey { secret, ttl }
    });
    Hub::new(behaviour.config.clone(), turn, &Seed { hub: 1, random: [random; 32] })
}

impl Behaviour {
    /// What a client is told instead.
    fn twist(&self, text: &str) -> Message {
        let mut frame: Value = serde_json::from_str(text).unwrap();
        if frame["type"] == "joined" && self.glare {
            frame["offers"] = true.into();
        }
        if frame["type"] == "welcome" && !self.ice_servers.is_empty() {
            frame["ice_servers"] = serde_json::to_value(&self.ice_servers).unwrap();
        }
        Message::text(frame.to_string())
    }
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

/// The next message and the label of its channel, or a panic.
pub(crate) async fn message(room: &mut Room) -> (String, Data) {
    match next(room).await {
        Event::Message { channel, data, .. } => (channel.label().to_owned(), data),
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
        r#"{"seq":1,"type":"welcome","room":"demo","peer":"peer-9","session":"demo:peer-9",
            "key":"k","grace_s":30,"members":[],"ice_servers":[],"ice_ttl_s":60,
            "heartbeat":{"interval_s":4,"timeout_s":9},
            "limits":{"frame_bytes_max":65536,"metadata_bytes_max":1024,"members_max":8,
                      "unacked_frames_max":256,"unacked_bytes_max":262144}}"#,
    )
}
