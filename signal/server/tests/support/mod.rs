//! A server on a free port of loopback, and clients that expect things of it.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod receiver;

use futures_util::{SinkExt as _, StreamExt as _};
use heliograph_base::Clock;
use serde_json::{Value, json};
use signal_core::Config;
use signal_server::{AdmissionLimits, Http, HttpLimits, Signal, SignalConfig, bind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Everything from one address, and as fast as it can be.
pub(crate) fn unlimited() -> SignalConfig {
    let admission = AdmissionLimits {
        address_connections_max: 0,
        address_joins_per_s: 0,
        address_requests_per_s: 0,
        ..AdmissionLimits::default()
    };
    SignalConfig { admission, hub: unpaced(), ..SignalConfig::default() }
}

/// Clients may send as fast as they can.
pub(crate) fn unpaced() -> Config {
    Config { messages_per_s: 0, bytes_per_s: 0, ..Config::default() }
}

/// How long anything may take before the test fails: far more than it needs on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) signal: Signal,
    pub(crate) http: Arc<Http>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(config: SignalConfig) -> Self {
        Self::start_limited(config, HttpLimits::default()).await
    }

    pub(crate) async fn start_limited(config: SignalConfig, limits: HttpLimits) -> Self {
        Self::start_with(config, Http::new(limits)).await
    }

    pub(crate) async fn start_with(config: SignalConfig, http: Http) -> Self {
        let signal = Signal::start(config, Clock::start()).unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (http, router) = (Arc::new(http), signal.router());
        let server = http.clone();
        let serving = tokio::spawn(async move { server.serve(listener, router, stopped).await });
        Self { address, signal, http, stop, serving }
    }

    /// The value of a counter, summed over its labels.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let samples = [self.signal.samples(), self.http.samples()].concat();
        samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }

    /// Waits until a counter has a value: counts are published after the frames that they count.
    pub(crate) async fn expect_counter(&self, name: &str, value: u64) {
        let reached = async {
            while self.counter(name) != value {
                tokio::task::yield_now().await;
            }
        };
        let waiting = tokio::time::timeout(PATIENCE, reached);
        assert!(waiting.await.is_ok(), "{name} is {}, not {value}", self.counter(name));
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Connects and joins: the client and its `welcome`.
    pub(crate) async fn join(&self, room: &str) -> (Client, Value) {
        let mut client = self.connect().await;
        let welcome = client.hello(room).await;
        (client, welcome)
    }

    /// Sends bytes on a new connection and returns all that comes back until the server closes it.
    pub(crate) async fn exchange(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    }

    /// Stops accepting and ends all sessions: whether they ended in time.
    pub(crate) async fn stop(self) -> bool {
        self.stop.send(()).unwrap();
        let all_gone = self.signal.shutdown(PATIENCE).await;
        patiently(self.serving).await.unwrap();
        all_gone
    }
}

/// A client that reads only when told to, and acknowledges what it reads.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) socket: WebSocketStream<S>,
    /// The number of the last frame that came.
    pub(crate) seq: u64,
    acked: u64,
}

/// After how many frames a client acknowledges them.
const ACK_EVERY: u64 = 32;

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::open(address, TcpStream::connect(address).await.unwrap()).await
    }

    /// Connects with a small receive buffer.
    pub(crate) async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::open(address, socket.connect(address).await.unwrap()).await
    }

    async fn open(address: SocketAddr, stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://{address}/v1/ws");
        let (socket, _) = patiently(client_async(url, stream)).await.unwrap();
        Self::of(socket)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn of(socket: WebSocketStream<S>) -> Self {
        Self { socket, seq: 0, acked: 0 }
    }

    /// Takes a session up again.
    pub(crate) async fn resume(&mut self, welcome: &Value, seq: u64) {
        let (session, key) = (&welcome["session"], &welcome["key"]);
        self.send(&json!({"type": "resume", "session": session, "key": key, "seq": seq})).await;
        (self.seq, self.acked) = (seq, seq);
    }

    pub(crate) async fn hello(&mut self, room: &str) -> Value {
        self.send(&json!({"type": "hello", "room": room})).await;
        let welcome = self.next().await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        welcome
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        patiently(self.socket.send(message)).await.unwrap();
    }

    pub(crate) async fn signal(&mut self, to: &str, data: Value) {
        self.send(&json!({"type": "signal", "to": to, "data": data})).await;
    }

    /// The next frame's text.
    pub(crate) async fn next_text(&mut self) -> String {
        loop {
            match patiently(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    self.take_note(&text).await;
                    return text.to_string();
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("a text frame was expected, not {other:?}"),
            }
        }
    }

    /// The next frame, without its numbers.
    pub(crate) async fn next(&mut self) -> Value {
        let mut frame: Value = serde_json::from_str(&self.next_text().await).unwrap();
        let fields = frame.as_object_mut().unwrap();
        fields.remove("seq");
        if fields["type"] != "ack" && fields["type"] != "resumed" {
            fields.remove("ack");
        }
        frame
    }

    async fn take_note(&mut self, text: &str) {
        let frame: Value = serde_json::from_str(text).unwrap();
        let Some(seq) = frame["seq"].as_u64() else { return };
        assert_eq!(seq, self.seq + 1, "{frame}");
        self.seq = seq;
        if seq >= self.acked + ACK_EVERY {
            self.acked = seq;
            self.send(&json!({"type": "ack", "ack": seq})).await;
        }
    }

    /// Expects an error with this code.
    pub(crate) async fn expect_error(&mut self, code: &str) -> Value {
        let error = self.next().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{error}");
        assert!(error["text"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        error
    }

    /// Expects the server to close with this code, whatever comes before.
    pub(crate) async fn expect_close(mut self, code: u16) {
        loop {
            match patiently(self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    assert_eq!(u16::from(frame.code), code, "{}", frame.reason);
                    break;
                }
                Some(Ok(_)) => {}
                other => panic!("a close with {code} was expected, not {other:?}"),
            }
        }
        let end = patiently(self.socket.next()).await;
        assert!(matches!(end, None | Some(Err(Error::Io(_) | Error::Protocol(_)))), "{end:?}");
    }
}

/// Two members of a room of their own who send each other signals all the time, and expect to hear
/// nothing else.
pub(crate) struct Bystanders {
    stop: oneshot::Sender<()>,
    talking: JoinHandle<u64>,
}

impl Bystanders {
    pub(crate) async fn start(server: &Server) -> Self {
        let (mut ada, welcome) = server.join("bystanders").await;
        let (mut bob, others) = server.join("bystanders").await;
        assert_eq!(ada.next().await["type"], "joined");
        let to_ada = welcome["peer"].as_str().unwrap().to_owned();
        let to_bob = others["peer"].as_str().unwrap().to_owned();
        let (stop, mut stopped) = oneshot::channel();
        let talking = tokio::spawn(async move {
            for number in 0.. {
                ada.signal(&to_bob, json!(number)).await;
                let expected = json!({"type": "signal", "from": to_ada, "data": number});
                assert_eq!(bob.next().await, expected);
                bob.signal(&to_ada, json!(number)).await;
                let expected = json!({"type": "signal", "from": to_bob, "data": number});
                assert_eq!(ada.next().await, expected);
                if stopped.try_recv().is_ok() {
                    return number;
                }
            }
            0
        });
        Self { stop, talking }
    }

    /// Checks that they were not disturbed.
    pub(crate) async fn stop(self) {
        assert!(!self.talking.is_finished(), "the bystanders were disturbed");
        self.stop.send(()).unwrap();
        patiently(self.talking).await.unwrap();
    }
}

pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = patiently(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) async fn patiently<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}
