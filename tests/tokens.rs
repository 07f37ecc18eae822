//! Who is let in, through the real binary: tokens that it makes and takes, and who may do without.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use support::{Heliograph, get, run};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

const PATIENCE: Duration = Duration::from_secs(30);
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
    let hello = json!({"type": "hello", "room": room, "token": token.unwrap_or("")}).to_string();
    socket.send(Message::text(hello)).await.unwrap();
    loop {
        let message = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str(&text).unwrap();
        }
    }
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
