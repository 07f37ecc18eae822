//! Named channels between two clients of this crate.

#![allow(clippy::wildcard_enum_match_arm, reason = "what isn't expected fails")]

mod support;

use heliograph_client::{Channel, ChannelOptions, ChannelState, Data, Event, Room, SendError};
use support::{Behaviour, PATIENCE, Server, join_as, next, pair};
use tokio::time::timeout;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The channel that the other side opens next.
async fn opened(room: &mut Room) -> Channel {
    match next(room).await {
        Event::ChannelOpened { channel, .. } => channel,
        event => panic!("{event:?}"),
    }
}

async fn received(room: &mut Room) -> (Channel, Data) {
    match next(room).await {
        Event::Message { channel, data, .. } => (channel, data),
        event => panic!("{event:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_one_side_opens_is_there_on_both_and_carries_messages_both_ways() -> Outcome
{
    let server = Server::start(Behaviour::default()).await;
    let ((mut ada, to_bob), (mut bob, to_ada)) = pair(&server).await;
    for (label, options) in [
        ("files", ChannelOptions::RELIABLE),
        ("state", ChannelOptions::LOSSY),
        ("voice", ChannelOptions { max_packet_life_time_ms: Some(50), ..ChannelOptions::RELIABLE }),
    ] {
        let near = to_bob.channel(label, options);
        // What is sent too early waits, or is left out.
        let early = near.send("early").await;
        let far = opened(&mut bob).await;
        assert_eq!((far.label(), far.options()), (label, options));
        assert_eq!(far, to_ada.channel(label, ChannelOptions::RELIABLE));
        near.opened().await?;
        if options.is_lossy() {
            assert_eq!(early, Err(SendError::NotConnected));
            assert_eq!(near.counts().sent_dropped, 1);
        } else {
            assert_eq!(received(&mut bob).await, (far.clone(), Data::from("early")));
        }
        far.send(b"\x01").await?;
        assert_eq!(received(&mut ada).await, (near.clone(), Data::from(b"\x01")));
        assert_eq!(near.state(), ChannelState::Open);
        near.try_send("back")?;
        assert_eq!(received(&mut bob).await, (far.clone(), Data::from("back")));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_a_channel_is_closed_arrives() -> Outcome {
    const MESSAGES: usize = 100;
    let server = Server::start(Behaviour::default()).await;
    let ((_ada, to_bob), (mut bob, _)) = pair(&server).await;
    for round in 0..3 {
        let files = to_bob.channel("files", ChannelOptions::RELIABLE);
        files.opened().await?;
        for _ in 0..MESSAGES {
            files.send(vec![round; 16_000]).await?;
        }
        files.close();
        assert_eq!(files.send("late").await, Err(SendError::NotConnected));
        let far = opened(&mut bob).await;
        for _ in 0..MESSAGES {
            let (channel, data) = received(&mut bob).await;
            assert_eq!((channel, data.as_bytes()[0]), (far.clone(), round));
        }
        timeout(PATIENCE, async {
            while far.state() != ChannelState::Closed {
                tokio::task::yield_now().await;
            }
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_closed_can_be_opened_anew_at_once() -> Outcome {
    const ROUNDS: usize = 4;
    let server = Server::start(Behaviour::default()).await;
    let ((_ada, to_bob), (mut bob, _)) = pair(&server).await;
    for round in 0..ROUNDS {
        let files = to_bob.channel("files", ChannelOptions::RELIABLE);
        files.send(vec![round as u8; 16_000]).await?;
        files.opened().await?;
        files.send("last").await?;
        files.close();
    }
    let (mut opened, mut rounds, mut last) = (0, Vec::new(), 0);
    while (opened, rounds.len(), last) != (ROUNDS, ROUNDS, ROUNDS) {
        match next(&mut bob).await {
            Event::ChannelOpened { .. } => opened += 1,
            Event::Message { data: Data::Binary(bytes), .. } => rounds.push(bytes[0] as usize),
            Event::Message { data: Data::Text(_), .. } => last += 1,
            event => panic!("{event:?}"),
        }
    }
    rounds.sort_unstable();
    assert_eq!(rounds, [0, 1, 2, 3]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_may_open_the_same_channel_at_once_even_before_they_are_connected() -> Outcome {
    let server = Server::start(Behaviour::default()).await;
    let mut ada = join_as(&server, "ada").await;
    let mut bob = join_as(&server, "bob").await;
    let mut ends = Vec::new();
    for room in [&mut ada, &mut bob] {
        let Event::PeerJoined(peer) = next(room).await else { panic!("somebody joins first") };
        let channel = peer.channel("state", ChannelOptions::RELIABLE);
        channel.send("hello").await?;
        ends.push(channel);
    }
    for (room, end) in [(&mut ada, &ends[0]), (&mut bob, &ends[1])] {
        assert!(matches!(next(room).await, Event::Connected { .. }));
        assert_eq!(received(room).await, (end.clone(), Data::from("hello")));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_can_be_read_by_itself_without_waiting() -> Outcome {
    let server = Server::start(Behaviour::default()).await;
    let ((_ada, to_bob), (mut bob, _)) = pair(&server).await;
    let near = to_bob.channel("state", ChannelOptions::RELIABLE);
    let far = opened(&mut bob).await;
    let mut messages = far.messages();
    assert_eq!(messages.try_recv(), None);
    near.send("one").await?;
    near.send("two").await?;
    assert_eq!(timeout(PATIENCE, messages.recv()).await?, Some(Data::from("one")));
    assert_eq!(timeout(PATIENCE, messages.recv()).await?, Some(Data::from("two")));
    assert!(bob.try_next().is_none());
    drop(messages);
    near.send("three").await?;
    assert_eq!(received(&mut bob).await, (far.clone(), Data::from("three")));
    let mut messages = far.messages();
    near.close();
    assert_eq!(timeout(PATIENCE, messages.recv()).await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_is_too_fast_waits_or_is_told_and_can_wait_until_all_is_sent() -> Outcome {
    let server = Server::start(Behaviour::default()).await;
    let ((_ada, to_bob), (mut bob, _)) = pair(&server).await;
    let near = to_bob.channel("files", ChannelOptions::RELIABLE);
    let mut refused = 0;
    let mut sent = 0;
    while refused == 0 {
        match near.try_send(vec![0; 60_000]) {
            Ok(()) => sent += 1,
            Err(SendError::Full) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!((4..100).contains(&sent), "{sent}");
    assert!(near.buffered_amount() > 0);
    let far = opened(&mut bob).await;
    near.opened().await?;
    let read = async {
        for _ in 0..sent + 20 {
            assert_eq!(received(&mut bob).await.0, far);
        }
    };
    let send = async {
        for _ in 0..20 {
            near.send(vec![0; 60_000]).await?;
        }
        near.drained().await;
        assert_eq!(near.buffered_amount(), 0);
        Ok::<(), SendError>(())
    };
    let (done, ()) = tokio::join!(send, read);
    done?;
    Ok(())
}
