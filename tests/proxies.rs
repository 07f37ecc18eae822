//! Sessions through reverse proxies, set up as docs/proxies says: nginx, Caddy and HAProxy.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Heliograph, ReadWrite, TestTls, wait_until};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

#[test]
fn every_transport_goes_through_nginx() {
    every_transport(&Site::nginx("nginx.conf", ""));
}

#[test]
fn every_transport_goes_through_nginx_with_tls_under_a_path() {
    let site = Site::nginx("nginx-tls.conf", "");
    every_transport(&site);
    let moved = site.get("/meet");
    assert!(moved.starts_with("HTTP/1.1 301 ") && moved.contains("/meet/\r\n"), "{moved}");
}

#[test]
fn every_transport_goes_through_caddy_with_tls_under_a_path() {
    every_transport(&Site::caddy());
}

#[test]
fn every_transport_goes_through_haproxy_which_says_who_the_client_is() {
    let site = Site::haproxy(false);
    every_transport(&site);
    who_is_who(&site);
}

#[test]
fn every_transport_goes_through_haproxy_with_tls_end_to_end() {
    let site = Site::haproxy(true);
    every_transport(&site);
    who_is_who(&site);
}

/// Each address may have four connections, and behind the proxy each client has its own address.
fn who_is_who(site: &Site) {
    let from = |last| site.try_websocket_from(Ipv4Addr::new(127, 0, 0, last));
    let _open: Vec<_> = (0..4).map(|_| from(2).unwrap()).collect();
    let refused = from(2).err().expect("it has all its connections");
    assert!(refused.contains("429"), "{refused}");
    let _other = from(3).unwrap();
}

#[test]
fn where_the_proxy_lets_no_websocket_through_streams_and_polls_do() {
    let site = Site::nginx("nginx.conf", "if ($http_upgrade) { return 403; }");
    let refused = site.try_websocket().err().expect("it is blocked");
    assert!(refused.contains("403"), "{refused}");
    let mut ada = Polling::join(&site);
    let bob = Polling::join(&site);
    assert_eq!(ada.poll()[0]["type"], "joined");
    streams(&site, &ada, &bob);
}

/// The page, and a session over each transport.
fn every_transport(site: &Site) {
    let page = site.get(&site.path("/"));
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("<title>"), "{page}");
    // As the page names it.
    assert!(page.contains("src=\"app.js\""), "{page}");
    let script = site.get(&site.path("/app.js"));
    assert!(script.contains("text/javascript"), "{script}");

    let mut ada = site.try_websocket().unwrap();
    send(&mut ada, &json!({"type": "hello", "room": "demo"}));
    let of_ada = next(&mut ada);
    assert_eq!(of_ada["type"], "welcome", "{of_ada}");
    let mut bob = Polling::join(site);
    assert_eq!(next(&mut ada)["type"], "joined");
    for number in 1..=20 {
        send(&mut ada, &json!({"type": "signal", "to": bob.welcome["peer"], "data": number}));
        assert_eq!(bob.poll()[0]["data"], number);
        bob.signal(&of_ada["peer"], number);
        assert_eq!(next(&mut ada)["data"], number);
    }

    let eve = Polling::join(site);
    streams(site, &eve, &bob);
    send(&mut ada, &json!({"type": "leave"}));
    while !matches!(ada.read(), Err(tungstenite::Error::ConnectionClosed) | Ok(Message::Close(_))) {
    }
}

/// `listener` hears what `sender` says as it says it. A proxy that holds events back gives out the
/// first one only with the end of the stream, after 9 s without a word from its client, and never
/// the next.
fn streams(site: &Site, listener: &Polling, sender: &Polling) {
    let mut events = site.events(&listener.url("/v1/events", "&seq=1"), &listener.bearer());
    assert_eq!(event(&mut events)["type"], "resumed");
    for number in 101..=110 {
        sender.send(&json!({"type": "signal", "to": listener.welcome["peer"], "data": number}));
        while event(&mut events)["data"] != number {}
    }
}

/// A client over plain requests.
struct Polling<'a> {
    site: &'a Site,
    welcome: Value,
    seq: u64,
    id: u64,
}

impl<'a> Polling<'a> {
    fn join(site: &'a Site) -> Self {
        let hello = json!({"type": "hello", "room": "demo"});
        let answer = site.post(&site.path("/v1/send"), "", &hello);
        assert_eq!(answer[0]["type"], "welcome", "{answer}");
        Self { site, welcome: answer[0].clone(), seq: 1, id: 0 }
    }

    fn url(&self, path: &str, more: &str) -> String {
        let session = self.welcome["session"].as_str().unwrap();
        format!("{}?session={session}{more}", self.site.path(path))
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.welcome["key"].as_str().unwrap())
    }

    /// The numbered frames of the next poll that has some: one may tell only an `ack`.
    fn poll(&mut self) -> Vec<Value> {
        loop {
            let url = self.url("/v1/poll", &format!("&seq={}&wait_s=20", self.seq));
            let answer = self.site.exchange("GET", &url, &self.bearer(), "");
            let frames = body(&answer).as_array().unwrap_or_else(|| panic!("{answer}")).clone();
            let frames: Vec<_> = frames.into_iter().filter(|frame| frame["seq"].is_u64()).collect();
            self.seq += frames.len() as u64;
            if !frames.is_empty() {
                return frames;
            }
        }
    }

    fn send(&self, frame: &Value) -> Value {
        self.site.post(&self.url("/v1/send", ""), &self.bearer(), frame)
    }

    fn signal(&mut self, to: &Value, data: u64) {
        self.id += 1;
        let answer = self.send(&json!({"type": "signal", "to": to, "data": data, "id": self.id}));
        assert_eq!(answer, json!([{"type": "ack", "ack": self.id}]));
    }
}

type Stream = Box<dyn ReadWrite>;

fn send(socket: &mut WebSocket<Stream>, frame: &Value) {
    socket.send(Message::text(frame.to_string())).unwrap();
}

fn next(socket: &mut WebSocket<Stream>) -> Value {
    loop {
        if let Message::Text(text) = socket.read().unwrap() {
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["type"] != "ack" {
                return frame;
            }
        }
    }
}

fn event(events: &mut BufReader<Stream>) -> Value {
    loop {
        let mut line = String::new();
        assert!(events.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
}

/// A server behind a proxy.
struct Site {
    proxy: Child,
    /// Where the proxy listens.
    address: SocketAddr,
    tls: Option<TestTls>,
    /// What stands in front of the server's own paths.
    base: &'static str,
    folder: PathBuf,
    _server: Heliograph,
}

impl Site {
    /// nginx by one of the documented files; `more` is added to the location.
    fn nginx(file: &str, more: &str) -> Self {
        let plan = Plan::new(file);
        let (own, port) = (plan.server.http().to_string(), plan.address.port());
        let mut edits = vec![("127.0.0.1:8080".to_owned(), own)];
        edits.push((
            "proxy_http_version 1.1;".to_owned(),
            format!("proxy_http_version 1.1; {more}"),
        ));
        if let Some(tls) = &plan.tls {
            let (cert, key) = tls.files();
            edits.push(("/etc/ssl/fullchain.pem".to_owned(), cert.to_owned()));
            edits.push(("/etc/ssl/privkey.pem".to_owned(), key.to_owned()));
            edits.push(("listen 443".to_owned(), format!("listen 127.0.0.1:{port}")));
        } else {
            edits.push(("listen 80".to_owned(), format!("listen 127.0.0.1:{port}")));
        }
        let file = plan.write(&edits, "");
        let globals = format!("daemon off; master_process off; pid {}/pid;", plan.folder.display());
        let mut command = tied("nginx");
        command.arg("-c").arg(file).args(["-e", "stderr", "-g", &globals]);
        plan.start(command)
    }

    /// Caddy by its documented file.
    fn caddy() -> Self {
        let plan = Plan::new("Caddyfile");
        let (cert, key) = plan.tls.as_ref().unwrap().files();
        let own = plan.server.http().to_string();
        let site = format!("https://localhost:{} {{\ntls {cert} {key}", plan.address.port());
        let edits = [("127.0.0.1:8080".to_owned(), own), ("\nmeet.example.org {".to_owned(), site)];
        let globals = "{\nadmin off\nauto_https off\ndefault_bind 127.0.0.1\n}\n";
        let file = plan.write(&edits, globals);
        let mut command = tied("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        command.env("HOME", &plan.folder).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        plan.start(command)
    }

    /// HAProxy by its documented file, which passes TCP on: plain, or with TLS of the server's own.
    fn haproxy(is_secure: bool) -> Self {
        let mut plan = Plan::new("haproxy.cfg");
        let other = free_address();
        let (plain, secure) = if is_secure { (other, plan.address) } else { (plan.address, other) };
        plan.tls = plan.tls.filter(|_| is_secure);
        let edits = [
            ("127.0.0.1:8080".to_owned(), plan.server.http().to_string()),
            ("127.0.0.1:8443".to_owned(), plan.server.https().to_string()),
            ("bind :80".to_owned(), format!("bind {plain}")),
            ("bind :443".to_owned(), format!("bind {secure}")),
        ];
        let file = plan.write(&edits, "");
        let mut command = tied("haproxy");
        command.args(["-db", "-f"]).arg(file);
        plan.start(command)
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn connect(&self) -> Stream {
        self.connect_from(Ipv4Addr::UNSPECIFIED)
    }

    fn connect_from(&self, own: Ipv4Addr) -> Stream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(IpAddr::V4(own), 0).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let stream = TcpStream::from(socket);
        match &self.tls {
            Some(tls) => Box::new(tls.over(stream, &[b"http/1.1"])),
            None => Box::new(stream),
        }
    }

    fn exchange(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = self.connect();
        let length = body.len();
        // HTTP/1.0: the answer is not cut into chunks.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\
             {headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // TLS may end without a word of it.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str) -> String {
        self.exchange("GET", path, "", "").replacen("HTTP/1.0", "HTTP/1.1", 1)
    }

    fn post(&self, path: &str, headers: &str, frame: &Value) -> Value {
        body(&self.exchange("POST", path, headers, &frame.to_string()))
    }

    /// Opens a stream of events and reads the head of the answer.
    fn events(&self, url: &str, headers: &str) -> BufReader<Stream> {
        let mut stream = self.connect();
        let request = format!("GET {url} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut events = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(events.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.to_ascii_lowercase().contains("content-type: text/event-stream"), "{head}");
        events
    }

    fn try_websocket(&self) -> Result<WebSocket<Stream>, String> {
        self.try_websocket_from(Ipv4Addr::UNSPECIFIED)
    }

    fn try_websocket_from(&self, own: Ipv4Addr) -> Result<WebSocket<Stream>, String> {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        let url = format!("{scheme}://localhost:{}{}", self.address.port(), self.path("/v1/ws"));
        let made = tungstenite::client(url, self.connect_from(own));
        made.map(|(socket, _)| socket).map_err(|error| error.to_string())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a proxy is started with.
struct Plan {
    file: String,
    server: Heliograph,
    address: SocketAddr,
    tls: Option<TestTls>,
    folder: PathBuf,
}

impl Plan {
    fn new(file: &str) -> Self {
        let tls = (file != "nginx.conf").then(TestTls::new);
        let mut arguments = vec!["signal", "--http", "127.0.0.1:0", "--trusted-proxy", "127.0.0.1"];
        if let ("haproxy.cfg", Some(tls)) = (file, &tls) {
            let (cert, key) = tls.files();
            arguments.extend(["--https", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key]);
            arguments.extend(["--proxy-protocol", "--address-connections", "4"]);
        }
        let server = Heliograph::start(&arguments);
        let free = free_address();
        let name = format!("heliograph-proxy-{}-{}", std::process::id(), free.port());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self { file: file.to_owned(), server, address: free, tls, folder }
    }

    /// The documented file with places of this test instead of its own.
    fn write(&self, edits: &[(String, String)], begin: &str) -> PathBuf {
        let documented =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/proxies").join(&self.file);
        let mut text = fs::read_to_string(documented).unwrap();
        for (theirs, ours) in edits {
            assert!(text.contains(theirs), "{theirs} is not in\n{text}");
            text = text.replace(theirs, ours);
        }
        let file = self.folder.join("config");
        fs::write(&file, format!("{begin}{text}")).unwrap();
        file
    }

    fn start(self, mut command: Command) -> Site {
        let proxy = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let proxy = proxy.spawn().expect("the proxy is installed");
        let Self { file, server, address, tls, folder } = self;
        let base = if ["nginx.conf", "haproxy.cfg"].contains(&&*file) { "" } else { "/meet" };
        let site = Site { proxy, address, tls, base, folder, _server: server };
        wait_until("the proxy listens", || TcpStream::connect(address).is_ok());
        site
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap()
}

/// A program that ends with the thread that started it, whatever becomes of that.
fn tied(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}
