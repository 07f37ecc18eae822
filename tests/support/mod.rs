//! The real binary as a child process, for the tests of the root package.

#![allow(dead_code, reason = "each test file uses its part of it")]

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A running `heliograph`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Heliograph {
    process: Child,
    banner: Vec<String>,
    logs: Option<JoinHandle<String>>,
}

impl Heliograph {
    /// Starts the binary and waits until it says that it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut process = command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stderr = process.stderr.take().expect("piped");
        let logs = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        let mut banner = Vec::new();
        for line in stdout.lines() {
            let line = line.expect("the banner is text");
            let ready = line.contains("Ctrl-C");
            banner.push(line);
            if ready {
                return Self { process, banner, logs: Some(logs) };
            }
        }
        let _ = process.wait();
        panic!("heliograph {arguments:?} ended:\n{}", logs.join().expect("no panic"));
    }

    /// Starts it with TURN by UDP, TCP and TLS on free ports of an address, and what else is said.
    pub(crate) fn start_with_streams(ip: &str, tls: &TestTls, more: &[&str]) -> Self {
        let (free, (cert, key)) = (format!("{ip}:0"), tls.files());
        let turn = ["--turn", &free, "--turn-tcp", &free, "--turn-tls", &free];
        let certified = ["--tls-cert", cert, "--tls-key", key];
        Self::start(&[more, &turn, &certified].concat())
    }

    /// What it printed at its start.
    pub(crate) fn banner(&self) -> String {
        self.banner.join("\n")
    }

    /// The first word after `label` in the banner.
    pub(crate) fn announced(&self, label: &str) -> &str {
        let line = self.banner.iter().find(|line| line.trim_start().starts_with(label));
        let line = line.unwrap_or_else(|| panic!("no {label} in\n{}", self.banner()));
        line.split_whitespace().nth(1).expect("a value")
    }

    /// The port in the first word of the banner with this before and behind it.
    pub(crate) fn port(&self, begin: &str, end: &str) -> u16 {
        let mut words = self.banner.iter().flat_map(|line| line.split_whitespace());
        let port = |word: &str| word.strip_prefix(begin)?.strip_suffix(end)?.parse().ok();
        let found = words.find_map(port);
        found.unwrap_or_else(|| panic!("no {begin}PORT{end} in\n{}", self.banner()))
    }

    /// The address of HTTP and WebSocket.
    pub(crate) fn http(&self) -> SocketAddr {
        let page = self.announced("Page");
        page.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address")
    }

    /// The address of HTTPS.
    pub(crate) fn https(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port("https://127.0.0.1:", "/")))
    }

    /// The first STUN/TURN address.
    pub(crate) fn turn(&self) -> SocketAddr {
        self.announced("STUN").trim_start_matches("stun:").parse().expect("an address")
    }

    /// Sends a signal, `TERM` or `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for the end; gives the status and all logs.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.process.wait().expect("it can be waited for");
        let logs = self.logs.take().expect("taken once").join().expect("no panic");
        (status, logs)
    }
}

impl Drop for Heliograph {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the binary to its end; gives exit code, standard output and standard error.
///
/// One that doesn't end by itself is ended after a minute, with code 124.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new("timeout");
    command.arg("60").arg(env!("CARGO_BIN_EXE_heliograph"));
    let output = bare(command, arguments).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
    (output.status.code().expect("not killed"), text(output.stdout), text(output.stderr))
}

/// The binary with an environment that sets nothing.
pub(crate) fn command(arguments: &[&str]) -> Command {
    bare(Command::new(env!("CARGO_BIN_EXE_heliograph")), arguments)
}

fn bare(mut command: Command, arguments: &[&str]) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HELIOGRAPH_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Credentials as `heliograph credentials` prints them.
pub(crate) fn credentials(secret: &str, ttl_s: u64) -> (String, String) {
    let ttl = ttl_s.to_string();
    let (code, out, err) = run(&["credentials", "--turn-secret", secret, "--ttl", &ttl]);
    assert_eq!(code, 0, "{err}");
    let value = |label: &str| {
        let line = out.lines().find(|line| line.starts_with(label)).expect("the line");
        line.split_whitespace().nth(1).expect("a value").to_owned()
    };
    (value("username"), value("password"))
}

/// A UDP port of `ip` that nobody uses at the moment.
pub(crate) fn free_udp_port(ip: &str) -> u16 {
    let socket = UdpSocket::bind(SocketAddr::new(ip.parse().expect("an IP"), 0));
    socket.and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// The whole answer to a GET request.
pub(crate) fn get(http: SocketAddr, path: &str) -> String {
    get_over(&mut TcpStream::connect(http).expect("it listens"), &http.to_string(), path)
}

/// A TLS connection of a client.
pub(crate) type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// A stream of bytes, plain or not.
pub(crate) trait ReadWrite: Read + Write {}

impl<S: Read + Write> ReadWrite for S {}

/// The whole answer to a GET request over a stream.
pub(crate) fn get_over(stream: &mut dyn ReadWrite, host: &str, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it takes a request");
    let mut answer = Vec::new();
    // TLS may end without a word of it.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until a condition holds that others bring about.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("waited in vain until {what}");
}

/// A certificate for `localhost` and its key in files, and clients that trust it.
#[derive(Debug)]
pub(crate) struct TestTls {
    cert: PathBuf,
    key: PathBuf,
}

impl TestTls {
    pub(crate) fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("heliograph-{}-{number}", std::process::id());
        let path = |end: &str| std::env::temp_dir().join(format!("{name}.{end}"));
        let tls = Self { cert: path("crt"), key: path("key") };
        tls.renew();
        tls
    }

    pub(crate) fn files(&self) -> (&str, &str) {
        (self.cert.to_str().expect("UTF-8"), self.key.to_str().expect("UTF-8"))
    }

    /// Puts another certificate and its key in the place of what is there, and gives it.
    pub(crate) fn renew(&self) -> Vec<u8> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate can be made");
        std::fs::write(&self.cert, made.cert.pem()).expect("a file");
        std::fs::write(&self.key, made.signing_key.serialize_pem()).expect("a file");
        made.cert.der().to_vec()
    }

    /// A connection whose client trusts the certificate that is in the file now.
    pub(crate) fn connect(&self, address: SocketAddr, alpn: &[&[u8]]) -> TlsClient {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        self.over(stream, alpn)
    }

    /// The same over a connection that is there.
    pub(crate) fn over(&self, stream: TcpStream, alpn: &[&[u8]]) -> TlsClient {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(&self.cert).expect("a certificate");
        roots.add(certificate).expect("a certificate");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::new(config), name).expect("settings that work");
        StreamOwned::new(client, stream)
    }

    /// The certificate that the server shows; nothing if it isn't the one in the file.
    pub(crate) fn shown(&self, address: SocketAddr) -> Vec<u8> {
        let mut stream = self.connect(address, &[]);
        let _ = stream.conn.complete_io(&mut stream.sock);
        let shown = stream.conn.peer_certificates().and_then(<[_]>::first);
        shown.map(|certificate| certificate.to_vec()).unwrap_or_default()
    }
}

impl Drop for TestTls {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.cert);
        let _ = std::fs::remove_file(&self.key);
    }
}
