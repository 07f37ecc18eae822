//! What the Rust SDK asks of a room of the real binary, over each transport.

#![allow(clippy::wildcard_enum_match_arm, reason = "what isn't expected fails")]

mod support;

use heliograph_client::{
    Error, ErrorCode, Event, Options, Room, RoomEvent, RulesPatch, To, Token, TokenSource,
    Transport, join,
};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{Heliograph, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// No step takes so long on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

const TRANSPORTS: [Transport; 3] = [Transport::WebSocket, Transport::Events, Transport::Poll];

fn start(more: &[&str]) -> Heliograph {
    let base = ["--http", "127.0.0.1:0", "--turn", "127.0.0.1:0"];
    Heliograph::start(&[&base[..], more].concat())
}

async fn next(room: &mut Room) -> Event {
    timeout(PATIENCE, room.next()).await.expect("an event in time").expect("an open room")
}

/// The next thing that the room tells.
async fn told(room: &mut Room) -> RoomEvent {
    loop {
        if let Event::Room(event) = next(room).await {
            return event;
        }
    }
}

async fn enter(server: &Heliograph, name: &str, options: Options) -> Result<Room, Error> {
    let metadata = json!({ "name": name });
    join(server.announced("WebSocket"), "demo", Options { metadata, ..options }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_made_ruled_and_handed_over_on_each_transport() -> Result<(), Error> {
    for transport in TRANSPORTS {
        let server = start(&[]);
        let options = Options {
            create: json!({
                "hosted": true, "password": "mellon", "history": 9, "state": {"turn": 0},
            }),
            password: Some("mellon".to_owned()),
            transports: vec![transport],
            ..Options::default()
        };
        let mut ada = enter(&server, "ada", options.clone()).await?;
        assert!(ada.is_host() && ada.rules().is_some_and(|rules| rules.locked));
        let state = ada.state().expect("a first state");
        assert_eq!(state.value, json!({"turn": 0}));
        let set = ada.set_state(&json!({"turn": 1}), Some(state.version)).await?;
        assert_eq!((set.value, set.version), (json!({"turn": 1}), state.version + 1));
        let late = ada.set_state(&json!({"turn": 7}), Some(state.version)).await;
        let Err(Error::Conflict { value, version }) = late else { panic!("{late:?}") };
        assert_eq!((value, version), (json!({"turn": 1}), state.version + 1));
        assert!(
            matches!(told(&mut ada).await, RoomEvent::State { version: v, .. } if v == version)
        );
        ada.broadcast(&"hello", To::All).await?;
        assert!(matches!(told(&mut ada).await, RoomEvent::Broadcast { event: Some(1), .. }));

        let wrong = Options { password: None, ..options.clone() };
        let refused = enter(&server, "eve", wrong).await;
        assert!(
            matches!(refused, Err(Error::Refused { code: ErrorCode::WrongPassword, .. })),
            "{refused:?}"
        );
        let mut bob = enter(&server, "bob", Options { after: Some(0), ..options }).await?;
        assert_eq!((bob.host().as_ref(), bob.is_host()), (Some(ada.peer_id()), false));
        let RoomEvent::Broadcast { data, .. } = told(&mut bob).await else { panic!("kept") };
        assert_eq!(data.get(), "\"hello\"");
        let name = json!({"name": "Robert"});
        let (kick, renamed) = tokio::join!(bob.kick(ada.peer_id(), false), bob.set_metadata(&name));
        let Err(Error::Refused { code, .. }) = kick else { panic!("only the host may") };
        assert_eq!(code, ErrorCode::NotHost);
        renamed?;
        assert_eq!((bob.metadata(), ada.metadata()), (name, json!({"name": "ada"})));
        while !matches!(told(&mut ada).await, RoomEvent::Metadata { .. }) {}
        ada.set_rules(&RulesPatch { sealed: Some(true), ..RulesPatch::default() }).await?;
        let RoomEvent::Rules(rules) = told(&mut bob).await else { panic!("other rules") };
        assert!(rules.sealed && bob.rules() == Some(rules));
        ada.hand_over(bob.peer_id()).await?;
        while !bob.is_host() {
            told(&mut bob).await;
        }
        bob.kick(ada.peer_id(), true).await?;
        let end = loop {
            if let Event::SignalingEnded(end) = next(&mut ada).await {
                break end;
            }
        };
        // Between two requests nobody is told; who comes back is.
        let is_banned = matches!(end, Error::Refused { code: ErrorCode::Banned, .. });
        assert!(is_banned || matches!(end, Error::Closed { code: 4104, .. }), "{end}");
        bob.close().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_websockets_are_blocked_the_session_goes_over_events_and_peers_meet() {
    let server = start(&[]);
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", proxy.local_addr().expect("bound"));
    let to = server.http();
    let upgrades = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&upgrades);
    let proxy = tokio::spawn(async move {
        while let Ok((near, _)) = proxy.accept().await {
            tokio::spawn(forward(near, to, Arc::clone(&count)));
        }
    });
    let mut ada = join(&url, "demo", Options::default()).await.expect("a seat");
    let mut bob = enter(&server, "bob", Options::default()).await.expect("a seat");
    for room in [&mut ada, &mut bob] {
        while !matches!(next(room).await, Event::Connected { .. }) {}
    }
    assert_eq!(upgrades.load(Ordering::Relaxed), 2, "a WebSocket is tried twice");
    ada.close().await;
    while !matches!(next(&mut bob).await, Event::PeerLeft { .. }) {}
    proxy.abort();
}

/// Carries HTTP, but refuses to upgrade.
async fn forward(mut near: TcpStream, to: std::net::SocketAddr, upgrades: Arc<AtomicUsize>) {
    let mut head = vec![0; 4096];
    let Ok(bytes) = near.read(&mut head).await else { return };
    let text = String::from_utf8_lossy(&head[..bytes]).to_ascii_lowercase();
    if text.contains("upgrade: websocket") {
        upgrades.fetch_add(1, Ordering::Relaxed);
        let _ = near.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
        return;
    }
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    if far.write_all(&head[..bytes]).await.is_ok() {
        let _ = copy_bidirectional(&mut near, &mut far).await;
    }
}

/// A server that lets in who has a token of this secret, which is in a file.
fn start_with_tokens(name: &str) -> (Heliograph, String) {
    let name = format!("heliograph-{}-{name}.secret", std::process::id());
    let secret = std::env::temp_dir().join(name);
    std::fs::write(&secret, "a secret of more than 32 bytes, for tests\n").expect("written");
    let file = secret.to_str().expect("UTF-8").to_owned();
    (start(&["--auth", "jwt", "--jwt-secret-file", &file]), file)
}

fn token(file: &str, subject: &str, ttl_s: &str) -> Token {
    let arguments = ["token", "--subject", subject, "--ttl-s", ttl_s, "--key-file", file];
    let (code, token, error) = run(&arguments);
    assert_eq!(code, 0, "{error}");
    Token::new(token.trim())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_before_it_expires() {
    let (server, file) = start_with_tokens("renewed");
    let (asked, secret) = (Arc::new(AtomicUsize::new(0)), file.clone());
    let count = Arc::clone(&asked);
    let tokens = TokenSource::new(move || {
        // One that isn't taken, among them.
        let good = count.fetch_add(1, Ordering::Relaxed) != 1;
        let next = if good { token(&file, "ada", "0") } else { Token::new("none") };
        async move { Some(next) }
    });
    let options = Options { tokens: Some(tokens), ..Options::default() };
    let mut ada = enter(&server, "ada", options).await.expect("a seat");
    // The server adds 30 s, of which a quarter is left.
    let renewed = async {
        while asked.load(Ordering::Relaxed) < 3 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        event = next(&mut ada) => panic!("{event:?}"),
        () = renewed => {}
    }
    ada.set_state(&"still here", None).await.expect("a session");
    let _ = std::fs::remove_file(secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_a_newer_token_is_taken_is_said() {
    let (server, file) = start_with_tokens("newer");
    let options = Options { token: Some(token(&file, "ada", "60")), ..Options::default() };
    let ada = enter(&server, "ada", options).await.expect("a seat");
    let another = ada.set_token(token(&file, "bob", "60")).await;
    assert!(matches!(another, Err(Error::Refused { code: ErrorCode::Forbidden, .. })));
    let none = ada.set_token(Token::new("none")).await;
    assert!(matches!(none, Err(Error::Refused { code: ErrorCode::Unauthorized, .. })));
    ada.set_token(token(&file, "ada", "90")).await.expect("a newer one");
    let _ = std::fs::remove_file(file);
}
