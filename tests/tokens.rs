//! Who is let in, through the real binary: tokens that it makes and takes, and who may do without.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use data_encoding::BASE64URL_NOPAD;
use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use support::{Heliograph, get, run};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const PATIENCE: Duration = Duration::from_secs(30);
/// For how long a token is good behind its end.
const LEEWAY_S: u64 = 30;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const SIGNAL: [&str; 3] = ["signal", "--http", "127.0.0.1:0"];

/// A file that is gone when this is dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("heliograph-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A token as `heliograph token` prints it.
fn token(arguments: &[&str]) -> String {
    let (code, out, err) = run(&[&["token"], arguments].concat());
    assert_eq!((code, out.lines().count()), (0, 1), "{err}");
    out.trim().to_owned()
}

/// What a hello is answered with.
async fn hello(server: &Heliograph, room: &str, token: Option<&str>) -> Value {
    let (mut socket, _) = connect_async(server.announced("WebSocket")).await.unwrap();
    let token = token.unwrap_or("");
    say(&mut socket, &json!({"type": "hello", "room": room, "token": token})).await;
    next(&mut socket).await
}

async fn say(socket: &mut Socket, frame: &Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// When the TURN credentials of a frame end, in seconds since 1970.
fn credentials_end(frame: &Value) -> u64 {
    let mut servers = frame["ice_servers"].as_array().unwrap().iter();
    let username = servers.find_map(|server| server["username"].as_str()).unwrap();
    username.split(':').next().unwrap().parse().unwrap()
}

/// Until when a token is good, in seconds since 1970.
fn token_end(token: &str) -> u64 {
    let claims = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["exp"].as_u64().unwrap() + LEEWAY_S
}

#[tokio::test]
async fn a_token_that_it_makes_is_one_that_it_takes() {
    let secret = File::new("tokens.secret", "a secret of more than 32 bytes, for tests\n");
    let mut pairs = vec![("--jwt-secret-file", secret.path().to_owned(), secret.path().to_owned())];
    let mut files = Vec::new();
    for (name, kind) in
        [("rsa", &PKCS_RSA_SHA256), ("ec", &PKCS_ECDSA_P256_SHA256), ("ed", &PKCS_ED25519)]
    {
        let pair = KeyPair::generate_for(kind).unwrap();
        let public = File::new(&format!("{name}.pub"), &pair.public_key_pem());
        let private = File::new(&format!("{name}.key"), &pair.serialize_pem());
        pairs.push(("--jwt-key", public.path().to_owned(), private.path().to_owned()));
        files.push((public, private));
    }
    for (flag, public, private) in &pairs {
        let server = Heliograph::start(&[&SIGNAL[..], &["--auth", "jwt", flag, public]].concat());
        let answer = hello(&server, "demo", None).await;
        assert_eq!(answer["code"], "unauthorized", "{flag}: {answer}");
        let flags = ["--room", "demo", "--room", "game-*", "--peer", "ada", "--role", "host"];
        let made = token(&[&flags[..], &["--ttl-s", "60", "--key-file", private]].concat());
        let answer = hello(&server, "game-7", Some(&made)).await;
        assert_eq!((&answer["type"], &answer["peer"]), (&json!("welcome"), &json!("ada")));
        assert_eq!(answer["role"], "host");
        let answer = hello(&server, "other", Some(&made)).await;
        assert_eq!(answer["code"], "forbidden", "{answer}");
        let expired = token(&["--ttl-s", "0", "--key-file", private]);
        // Within the leeway it is still good.
        assert_eq!(hello(&server, "demo", Some(&expired)).await["type"], "welcome");
        let metrics = get(server.http(), "/metrics");
        let refused = "heliograph_signal_refusals_total{code=\"unauthorized\"} 1";
        assert!(metrics.contains(refused), "{metrics}");
        server.signal("TERM");
        let (_, logs) = server.wait();
        assert!(!logs.contains(&made), "tokens aren't logged: {logs}");
    }
}

#[tokio::test]
async fn turn_credentials_end_with_the_token_and_are_renewed_with_it() {
    let secret = File::new("credentials.secret", "a secret of more than 32 bytes, for tests\n");
    let flags = ["--http", "127.0.0.1:0", "--turn", "127.0.0.1:0", "--auth", "jwt"];
    let key = ["--jwt-secret-file", secret.path()];
    let server = Heliograph::start(&[&flags[..], &key].concat());
    let made = |ttl_s| token(&["--subject", "ada", "--ttl-s", ttl_s, "--key-file", secret.path()]);
    let (mut socket, _) = connect_async(server.announced("WebSocket")).await.unwrap();
    let first = made("600");
    say(&mut socket, &json!({"type": "hello", "room": "demo", "token": first})).await;
    let welcome = next(&mut socket).await;
    // To the second, of which each of them has begun one.
    assert!((0..=1).contains(&(token_end(&first) - credentials_end(&welcome))), "{welcome}");
    assert_eq!(welcome["ice_ttl_s"], welcome["token_ttl_s"], "{welcome}");

    let newer = made("900");
    say(&mut socket, &json!({"type": "token", "token": newer})).await;
    let (taken, ice) = (next(&mut socket).await, next(&mut socket).await);
    assert_eq!((&taken["type"], &ice["type"]), (&json!("token"), &json!("ice")));
    assert!((0..=1).contains(&(token_end(&newer) - credentials_end(&ice))), "{ice}");
    assert_eq!(ice["ice_ttl_s"], taken["expires_in_s"]);
}

#[test]
fn what_would_be_no_good_is_not_made() {
    let secret = File::new("no-good.secret", "a secret of more than 32 bytes, for tests\n");
    for (flag, value, named) in [
        ("--room", "a b", "room id"),
        ("--room", "a*b", "room id"),
        ("--peer", "a b", "peer id"),
        ("--role", "a b", "role"),
    ] {
        let (code, _, err) = run(&["token", "--key-file", secret.path(), flag, value]);
        assert_eq!((code, err.lines().count()), (2, 1), "{err}");
        assert!(err.contains(named), "{err}");
    }
    let short = File::new("short.secret", "short");
    let (code, _, err) = run(&["token", "--key-file", short.path()]);
    assert_eq!(code, 2);
    assert!(err.contains("at least 32 bytes") && !err.contains("\"short\""), "{err}");
}

#[tokio::test]
async fn who_is_let_in_is_said_where_others_can_reach_it() {
    let secret = File::new("reach.secret", "a secret of more than 32 bytes, for tests\n");
    let jwt = ["--auth", "jwt", "--jwt-secret-file", secret.path()];
    let everywhere = ["signal", "--http", "0.0.0.0:0", "--check"];
    for (flags, code) in [
        (&[][..], 2),
        (&["--open"], 0),
        (&["--auth", "open"], 0),
        (&["--open=false", "--auth", "open"], 0),
        (&jwt, 0),
    ] {
        let (got, out, err) = run(&[&everywhere[..], flags].concat());
        assert_eq!(got, code, "{flags:?}: {out}{err}");
    }
    let (_, out, _) = run(&[&everywhere[..], &jwt, &["--allow-origin", "https://A.org"]].concat());
    for line in ["auth = \"jwt\"", "allow-origin = [\"https://a.org\"]", "jwt-secret-file = \""] {
        assert!(out.contains(line), "{line} is missing in\n{out}");
    }
    assert!(!out.contains("for tests"), "{out}");
    let file = File::new("reach.toml", &out);
    let (code, again, err) = run(&["signal", "--check", "--config", file.path()]);
    assert_eq!((code, again), (0, out), "{err}");
}
