//! Two clients of this crate over real sockets on loopback.

#![allow(clippy::wildcard_enum_match_arm, reason = "what isn't expected fails")]

mod support;

use heliograph_client::{
    ChannelState, Data, Event, LeaveReason, Options, Room, SendError, Trouble, join,
};
use signal_core::protocol::IceServer;
use std::time::Duration;
use support::{Behaviour, PATIENCE, Server, connected, join_as, message, next, pair};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::test(flavor = "multi_thread")]
async fn two_peers_meet_and_know_each_other_and_their_path() -> Outcome {
    let server = Server::start(Behaviour::default()).await;
    let mut ada = join_as(&server, "ada").await;
    let mut bob = join_as(&server, "bob").await;
    let Event::PeerJoined(peer) = next(&mut ada).await else { panic!("somebody joins first") };
    assert_eq!(peer.name().as_deref(), Some("bob"));
    assert_eq!(&peer.id(), bob.peer_id());
    assert_eq!(peer.send_lossy("early").await, Err(SendError::NotConnected));
    assert_eq!(peer.stats().await, None);
    let ((to_bob, path), (to_ada, _)) = tokio::join!(connected(&mut ada), connected(&mut bob));
    assert!(!path.is_relayed(), "{path}");
    assert_eq!((to_bob.name().as_deref(), to_ada.name().as_deref()), (Some("bob"), Some("ada")));
    to_bob.send_lossy(b"\x00\xFF").await?;
    assert_eq!(message(&mut bob).await, ("lossy".to_owned(), Data::from(b"\x00\xFF")));
    to_ada.send_reliable("grüß dich").await?;
    assert_eq!(message(&mut ada).await, ("reliable".to_owned(), Data::from("grüß dich")));
    let stats = to_ada.stats().await.expect("a connection");
    assert_eq!((stats.lossy.messages_received, stats.lossy.bytes_received), (1, 2));
    assert_eq!((stats.reliable.messages_sent, stats.lossy.received_dropped), (1, 0));
    assert!(stats.round_trip.is_some_and(|rtt| rtt < Duration::from_secs(1)), "{stats:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_lossy_messages_arrive_on_loopback_and_reliable_ones_in_order() -> Outcome {
    const MESSAGES: u32 = 1000;
    let server = Server::start(Behaviour::default()).await;
    let ((_ada, to_bob), (mut bob, _)) = pair(&server).await;
    let sender = tokio::spawn(async move {
        for n in 0..MESSAGES {
            to_bob.send_lossy(&n.to_be_bytes()).await?;
            to_bob.send_reliable(&n.to_be_bytes()).await?;
            sleep(Duration::from_millis(1)).await;
        }
        Ok::<(), SendError>(())
    });
    let (mut lossy, mut expected) = (0, 0);
    while expected < MESSAGES || lossy < 990 {
        let (channel, data) = message(&mut bob).await;
        match &*channel {
            "lossy" => lossy += 1,
            _ => {
                assert_eq!(data.as_bytes(), expected.to_be_bytes());
                expected += 1;
            }
        }
    }
    sender.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_that_collide_end_in_one_connection() -> Outcome {
    let server = Server::start(Behaviour { glare: true, ..Behaviour::default() }).await;
    for round in 0..5 {
        let ((ada, to_bob), (mut bob, _)) = pair(&server).await;
        to_bob.send_reliable("hello").await?;
        assert_eq!(message(&mut bob).await.1, Data::from("hello"), "round {round}");
        tokio::join!(ada.close(), bob.close());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_of_four_connects_everybody_with_everybody() {
    let server = Server::start(Behaviour::default()).await;
    let mut rooms = Vec::new();
    for name in ["ada", "bob", "cyd", "dan"] {
        rooms.push(join_as(&server, name).await);
    }
    for room in &mut rooms {
        for _ in 0..3 {
            connected(room).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_is_announced_and_torn_down() {
    let server = Server::start(Behaviour::default()).await;
    let ((mut ada, to_bob), (bob, _)) = pair(&server).await;
    timeout(PATIENCE, bob.close()).await.expect("closed in time");
    loop {
        match next(&mut ada).await {
            Event::PeerLeft { peer, reason } => {
                assert_eq!((peer.name().as_deref(), reason), (Some("bob"), LeaveReason::Left));
                break;
            }
            // The connection's end may be noticed before the server tells.
            Event::Disconnected { trouble: Trouble::Closed, .. } => {}
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(to_bob.send_reliable("late").await, Err(SendError::NotConnected));
    assert!(ada.try_next().is_none());
    timeout(PATIENCE, ada.close()).await.expect("closed in time");
}

/// Waits until the peer is told to have closed the connection.
async fn closed(room: &mut Room) {
    let event = next(room).await;
    assert!(matches!(&event, Event::Disconnected { trouble: Trouble::Closed, .. }), "{event:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_stays_so_until_who_closed_it_begins_another_one() -> Outcome {
    let server = Server::start(Behaviour::default()).await;
    let ((mut ada, to_bob), (mut bob, to_ada)) = pair(&server).await;
    to_bob.close().await;
    closed(&mut bob).await;
    assert_eq!(to_bob.stats().await, None);
    assert_eq!(to_bob.reliable().state(), ChannelState::Connecting);
    assert_eq!((ada.peers(), bob.peers()), (&[to_bob.clone()][..], &[to_ada.clone()][..]));
    to_bob.send_reliable("kept").await?;
    to_bob.restart().await;
    tokio::join!(connected(&mut ada), connected(&mut bob));
    assert_eq!(message(&mut bob).await.1, Data::from("kept"));

    to_ada.close().await;
    closed(&mut ada).await;
    // What this sends is not heard there.
    to_bob.restart().await;
    assert_eq!(to_ada.stats().await, None);
    to_ada.restart().await;
    tokio::join!(connected(&mut ada), connected(&mut bob));
    to_ada.send_reliable("back").await?;
    assert_eq!(message(&mut ada).await.1, Data::from("back"));
    assert!(to_ada.stats().await.is_some_and(|stats| stats.connected_in.is_some()));
    bob.close().await;
    while !matches!(next(&mut ada).await, Event::PeerLeft { .. }) {}
    assert!(ada.peers().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn open_channels_survive_the_server() -> Outcome {
    let server = Server::start(Behaviour::default()).await;
    let ((mut ada, to_bob), (mut bob, to_ada)) = pair(&server).await;
    drop(server);
    for room in [&mut ada, &mut bob] {
        let event = next(room).await;
        assert!(matches!(&event, Event::SignalingLost(error) if error.retry()), "{event:?}");
    }
    to_bob.send_reliable("still here").await?;
    to_ada.send_lossy("me too").await?;
    assert_eq!(message(&mut bob).await.1, Data::from("still here"));
    assert_eq!(message(&mut ada).await.1, Data::from("me too"));
    tokio::join!(ada.close(), bob.close());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_only_with_a_relay_that_refuses_is_said_plainly() {
    let relay = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let port = relay.local_addr().expect("bound").port();
    tokio::spawn(refuse_all(relay));
    let turn = IceServer {
        urls: vec![format!("turn:127.0.0.1:{port}?transport=udp")],
        username: Some("ada".to_owned()),
        credential: Some("secret".to_owned()),
    };
    let server = Server::start(Behaviour { ice_servers: vec![turn], ..Behaviour::default() }).await;
    let options = Options { relay_only: true, ..Options::default() };
    let mut ada = join(&server.url, "demo", options).await.expect("a seat");
    let _bob = join_as(&server, "bob").await;
    assert!(matches!(next(&mut ada).await, Event::PeerJoined(_)));
    let event = next(&mut ada).await;
    assert!(
        matches!(&event, Event::Disconnected { trouble: Trouble::NoCandidates, .. }),
        "{event:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_peers_limit_is_refused() -> Outcome {
    let server = Server::start(Behaviour::default()).await;
    let ((_ada, to_bob), (mut bob, _)) = pair(&server).await;
    let Err(SendError::TooLarge { bytes_max, .. }) = to_bob.send_reliable(vec![0; 64 << 20]).await
    else {
        panic!("64 MiB are too much")
    };
    to_bob.send_reliable(vec![7; 60_000]).await?;
    assert_eq!(message(&mut bob).await.1.as_bytes().len(), 60_000);
    assert!(bytes_max >= 60_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_make_no_sense_harm_nobody_else() -> Outcome {
    // The in-test server passes signals on as they are, and so does the real one.
    let server = Server::start(Behaviour::default()).await;
    let ((mut ada, to_bob), (mut bob, _)) = pair(&server).await;
    let mut mallory = support::Mallory::join(&server).await;
    assert!(matches!(next(&mut ada).await, Event::PeerJoined(_)));
    for data in [
        "7",
        "{}",
        r#"{"description":{"type":"offer","sdp":"nonsense"}}"#,
        r#"{"candidate":{"candidate":"x"}}"#,
    ] {
        mallory.signal(ada.peer_id().as_str(), data).await;
    }
    let event = next(&mut ada).await;
    assert!(
        matches!(&event, Event::Disconnected { trouble: Trouble::BadDescription(_), .. }),
        "{event:?}"
    );
    to_bob.send_reliable("unharmed").await?;
    let Event::PeerJoined(_) = next(&mut bob).await else { panic!("mallory joined here as well") };
    assert_eq!(message(&mut bob).await.1, Data::from("unharmed"));
    Ok(())
}

/// A TURN server that answers each request with 403 (RFC 8489 §14.8).
async fn refuse_all(socket: UdpSocket) {
    let mut bytes = [0; 1500];
    while let Ok((_, client)) = socket.recv_from(&mut bytes).await {
        let mut answer = vec![bytes[0] | 0x01, bytes[1] | 0x10, 0, 8];
        answer.extend_from_slice(&bytes[4..20]);
        answer.extend_from_slice(&[0, 9, 0, 4, 0, 0, 4, 3]);
        let _ = socket.send_to(&answer, client).await;
    }
}
