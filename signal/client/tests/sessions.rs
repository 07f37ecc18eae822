//! What becomes of a room when the connection to its server breaks, one behaviour each.

#![allow(clippy::wildcard_enum_match_arm, reason = "what isn't expected fails")]

mod support;

use heliograph_client::{ChannelOptions, Data, Event, LeaveReason, Peer, PeerId, Room};
use signal_core::Config;
use std::time::Duration;
use support::{Behaviour, PATIENCE, Server, connected, join_as, next, pair};
use tokio::time::{sleep, timeout};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Sends a message and takes it out at the other end, where nothing else may come before.
async fn pass(to: &Peer, at: &mut Room) {
    to.send_reliable("still here").await.expect("an open channel");
    match next(at).await {
        Event::Message { data, .. } => assert_eq!(data, Data::from("still here")),
        event => panic!("{event:?}"),
    }
}

async fn lost(room: &mut Room) {
    let event = next(room).await;
    assert!(matches!(&event, Event::SignalingLost(error) if error.retry()), "{event:?}");
}

async fn resumed(room: &mut Room) {
    let event = next(room).await;
    assert!(matches!(&event, Event::SignalingResumed), "{event:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_resumed_and_no_peer_connection_notices() -> Outcome {
    let config = Config { away_delay: PATIENCE, grace: 2 * PATIENCE, ..Config::default() };
    let server = Server::start(Behaviour { config, ..Behaviour::default() }).await;
    let ((mut ada, to_bob), (mut bob, to_ada)) = pair(&server).await;
    let ids = [ada.peer_id().clone(), bob.peer_id().clone()];
    for _ in 0..3 {
        server.cut().await;
        for room in [&mut ada, &mut bob] {
            lost(room).await;
        }
        to_bob.send_reliable("meanwhile").await?;
        for room in [&mut ada, &mut bob] {
            let mut is_resumed = false;
            while !is_resumed {
                match next(room).await {
                    Event::SignalingResumed => is_resumed = true,
                    Event::Message { data, .. } => assert_eq!(data, Data::from("meanwhile")),
                    event => panic!("{event:?}"),
                }
            }
        }
        pass(&to_bob, &mut bob).await;
        pass(&to_ada, &mut ada).await;
    }
    assert_eq!([ada.peer_id(), bob.peer_id()], [&ids[0], &ids[1]]);
    // The session is the same, so others still reach it.
    let mut cyd = join_as(&server, "cyd").await;
    tokio::join!(connected(&mut ada), connected(&mut bob));
    for _ in 0..2 {
        connected(&mut cyd).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_meet_though_the_connections_to_the_server_break_all_the_time() {
    let server = Server::start(Behaviour::default()).await;
    for round in 0..3 {
        let mut ada = join_as(&server, "ada").await;
        let mut bob = join_as(&server, "bob").await;
        let cuts = async {
            for _ in 0..6 {
                server.cut().await;
                sleep(Duration::from_millis(7 + 20 * round)).await;
            }
        };
        let meet = async |room: &mut Room| loop {
            match timeout(PATIENCE, room.next()).await.expect("in time").expect("open") {
                Event::Connected { .. } => return,
                Event::PeerJoined(_)
                | Event::PeerAway(_)
                | Event::PeerBack(_)
                | Event::SignalingLost(_)
                | Event::SignalingResumed => {}
                event => panic!("{event:?}"),
            }
        };
        tokio::join!(cuts, meet(&mut ada), meet(&mut bob));
        tokio::join!(ada.close(), bob.close());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_and_back_is_announced() {
    let config = Config { away_delay: Duration::ZERO, ..Config::default() };
    let server = Server::start(Behaviour { config, ..Behaviour::default() }).await;
    let ((mut ada, to_bob), (mut bob, _)) = pair(&server).await;
    server.cut_one(2).await;
    match next(&mut ada).await {
        Event::PeerAway(peer) => assert_eq!(&peer.id(), bob.peer_id()),
        event => panic!("{event:?}"),
    }
    lost(&mut bob).await;
    pass(&to_bob, &mut bob).await;
    resumed(&mut bob).await;
    match next(&mut ada).await {
        Event::PeerBack(peer) => assert_eq!(peer, to_bob),
        event => panic!("{event:?}"),
    }
    assert!(!to_bob.is_away());
    // From now on it doesn't come back.
    server.refuse_all().await;
    server.cut_one(3).await;
    let event = next(&mut ada).await;
    assert!(matches!(&event, Event::PeerAway(peer) if peer.is_away()), "{event:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_meanwhile_is_met_after_the_resume() {
    let server = Server::start(Behaviour::default()).await;
    let mut ada = join_as(&server, "ada").await;
    server.cut_one(1).await;
    let mut bob = join_as(&server, "bob").await;
    lost(&mut ada).await;
    resumed(&mut ada).await;
    let ((to_bob, _), _) = tokio::join!(connected(&mut ada), connected(&mut bob));
    pass(&to_bob, &mut bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_forgotten_everybody_is_joined_anew_and_no_channel_closes() {
    let server = Server::start(Behaviour::default()).await;
    let ((mut ada, to_bob), (mut bob, to_ada)) = pair(&server).await;
    let before = [ada.peer_id().clone(), bob.peer_id().clone()];
    let files = to_bob.channel("files", ChannelOptions::RELIABLE);
    let Event::ChannelOpened { channel: from_ada, .. } = next(&mut bob).await else {
        panic!("ada opens a channel")
    };
    server.restart().await;
    tokio::join!(reunion(&mut ada, &before[1]), reunion(&mut bob, &before[0]));
    assert_ne!([ada.peer_id(), bob.peer_id()], [&before[0], &before[1]]);
    assert_eq!([&to_bob.id(), &to_ada.id()], [bob.peer_id(), ada.peer_id()]);
    pass(&to_bob, &mut bob).await;
    pass(&to_ada, &mut ada).await;
    files.send("the same channel").await.expect("an open channel");
    match next(&mut bob).await {
        Event::Message { channel, .. } => assert_eq!(channel, from_ada),
        event => panic!("{event:?}"),
    }
    // And the two still can be found by others.
    let mut cyd = join_as(&server, "cyd").await;
    for _ in 0..2 {
        connected(&mut cyd).await;
    }
}

/// Takes the events of a room whose members have all joined anew.
async fn reunion(room: &mut Room, before: &PeerId) {
    lost(room).await;
    let event = next(room).await;
    let Event::SignalingRejoined { peer_id } = &event else { panic!("{event:?}") };
    assert_eq!(peer_id, room.peer_id());
    match next(room).await {
        Event::PeerRejoined { before: id, peer } => {
            assert_eq!(&id, before);
            assert_ne!(&peer.id(), before);
        }
        event => panic!("{event:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_seat_keeps_the_peers_and_they_keep_their_links() {
    let config = Config { grace: Duration::ZERO, ..Config::default() };
    let server = Server::start(Behaviour { config, ..Behaviour::default() }).await;
    let ((mut ada, to_bob), (mut bob, to_ada)) = pair(&server).await;
    let before = ada.peer_id().clone();
    server.cut_one(1).await;
    lost(&mut ada).await;
    pass(&to_bob, &mut bob).await;
    pass(&to_ada, &mut ada).await;

    // Bob is still the same, so ada is told nothing of him.
    let event = next(&mut ada).await;
    assert!(matches!(event, Event::SignalingRejoined { .. }), "{event:?}");
    match next(&mut bob).await {
        Event::PeerRejoined { peer, before: id } => {
            assert_eq!((peer, id), (to_ada.clone(), before));
        }
        event => panic!("{event:?}"),
    }
    assert_eq!(&to_ada.id(), ada.peer_id());
    pass(&to_bob, &mut bob).await;
    pass(&to_ada, &mut ada).await;
    assert!(ada.try_next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_lost_for_good_leaves_with_its_connection() {
    let config = Config { grace: Duration::ZERO, ..Config::default() };
    let server = Server::start(Behaviour { config, ..Behaviour::default() }).await;
    let ((mut ada, to_bob), (bob, _)) = pair(&server).await;
    server.refuse_all().await;
    server.cut_one(2).await;
    sleep(Duration::from_millis(100)).await;
    assert!(to_bob.send_reliable("are you there?").await.is_ok());
    // Without a seat to give back.
    timeout(PATIENCE, bob.close()).await.expect("closed in time");
    loop {
        match next(&mut ada).await {
            Event::Disconnected { peer, .. } => assert_eq!(peer, to_bob),
            Event::PeerLeft { peer, reason } => {
                break assert_eq!((peer, reason), (to_bob, LeaveReason::Lost));
            }
            event => panic!("{event:?}"),
        }
    }
}
