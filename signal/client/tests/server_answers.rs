//! What a client makes of servers that answer something else.

#![allow(clippy::wildcard_enum_match_arm, reason = "what isn't expected fails")]

mod support;

use heliograph_client::{Error, ErrorCode, Event, Options, join};
use std::io::ErrorKind;
use support::{Server, join_as, next, welcome};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

async fn refusal(script: Vec<Message>) -> Error {
    let server = Server::scripted(script).await;
    join(&server.url, "demo", Options::default()).await.expect_err("no seat")
}

fn close(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_says_whether_to_retry() {
    for (retry, word) in [(true, "room_full"), (false, "bad_room")] {
        let text = format!(r#"{{"type":"error","code":"{word}","text":"no","retry":{retry}}}"#);
        let error = refusal(vec![Message::text(text)]).await;
        assert_eq!(error.retry(), retry);
        let Error::Refused { code, .. } = error else { panic!("{error}") };
        assert_eq!(code.to_string(), word);
        assert_ne!(code, ErrorCode::Unknown);
    }
}

#[tokio::test]
async fn an_answer_that_is_no_frame_of_the_protocol_names_the_server() {
    for answer in [
        Message::text("hello"),
        Message::text("{}"),
        Message::text(r#"{"type":"welcome"}"#),
        Message::text(r#"{"type":"joined","peer":"x","metadata":{},"polite":true,"offers":true}"#),
        Message::text(welcome().to_text().unwrap().replace("peer-9", "not an id")),
        Message::binary(vec![1]),
    ] {
        let error = refusal(vec![answer.clone()]).await;
        assert!(matches!(error, Error::NotHeliograph { .. }), "{answer:?}: {error}");
        assert!(error.to_string().contains("127.0.0.1:"), "{error}");
        assert!(!error.retry());
    }
}

#[tokio::test]
async fn a_close_code_is_kept_before_and_after_the_welcome() {
    for (code, retry) in [(4003, true), (4100, false), (1009, false)] {
        let error = refusal(vec![close(code, "because")]).await;
        assert_eq!(error.retry(), retry);
        let Error::Closed { code: closed, text } = error else { panic!("{error}") };
        assert_eq!((closed, &*text), (code, "because"));

        let server = Server::scripted(vec![welcome(), close(code, "because")]).await;
        let mut room = join_as(&server, "ada").await;
        let error = match next(&mut room).await {
            Event::SignalingLost(error) if retry => error,
            Event::SignalingEnded(error) if !retry => error,
            event => panic!("{event:?}"),
        };
        assert!(matches!(error, Error::Closed { code: closed, .. } if closed == code), "{error}");
    }
}

#[tokio::test]
async fn frames_of_a_newer_server_are_ignored() {
    let newer = Message::text(r#"{"type":"dance","tune":"polka"}"#);
    let server = Server::scripted(vec![newer.clone(), welcome(), newer, close(4003, "")]).await;
    let mut room = join_as(&server, "ada").await;
    let event = next(&mut room).await;
    assert!(matches!(event, Event::SignalingLost(Error::Closed { code: 4003, .. })), "{event:?}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_after_its_own_timeout() {
    let hasty = welcome().to_text().unwrap().replace("\"interval_s\":4", "\"interval_s\":1");
    let hasty = hasty.replace("\"timeout_s\":9", "\"timeout_s\":2");
    let server = Server::scripted(vec![Message::text(hasty)]).await;
    let mut room = join_as(&server, "ada").await;
    let Event::SignalingLost(error) = next(&mut room).await else { panic!("an end") };
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(error.retry());
}

#[tokio::test]
async fn a_server_that_is_not_there_or_no_websocket_server_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let http = tokio::spawn(async move {
        let mut connections = Vec::new();
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            tcp.write_all(answer).await.unwrap();
            connections.push(tcp);
        }
    });
    let error = join(&url, "demo", Options::default()).await.unwrap_err();
    assert!(matches!(error, Error::NotHeliograph { .. }), "{error}");
    http.abort();
    let _ = http.await;
    let error = join(&url, "demo", Options::default()).await.unwrap_err();
    let Error::Unreachable { reason, .. } = &error else { panic!("{error}") };
    assert_eq!(reason.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_server_that_starts_to_talk_nonsense_is_not_asked_again() {
    for nonsense in [Message::text("hello"), Message::binary(vec![1])] {
        let server = Server::scripted(vec![welcome(), nonsense]).await;
        let mut room = join_as(&server, "ada").await;
        let event = next(&mut room).await;
        assert!(matches!(&event, Event::SignalingEnded(Error::NotHeliograph { .. })), "{event:?}");
        room.close().await;
    }
}

#[tokio::test]
async fn what_the_program_got_wrong_is_found_without_a_server() {
    let refused = |url, room, metadata| async move {
        join(url, room, Options { metadata, ..Options::default() }).await.unwrap_err()
    };
    let url = "ws://127.0.0.1:9";
    assert!(matches!(refused("demo", "demo", ().into()).await, Error::BadUrl { .. }));
    assert!(matches!(refused(url, "a b", ().into()).await, Error::BadRoom(_)));
    assert!(matches!(refused(url, "demo", 7.into()).await, Error::BadMetadata));
}
