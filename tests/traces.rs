//! The traces that the real binary sends to a collector, in builds with the feature `otel`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

#[cfg(not(feature = "otel"))]
#[test]
fn a_build_without_traces_says_how_to_get_them() {
    let (code, _, err) = support::run(&["--otlp-url", "http://127.0.0.1:4318/v1/traces"]);
    assert_eq!((code, err.lines().count()), (2, 1), "{err}");
    assert!(err.contains("--otlp-url") && err.contains("--features otel"), "{err}");
}

#[test]
fn a_share_without_a_collector_is_refused() {
    let (code, _, err) = support::run(&["--otlp-share", "0.5"]);
    assert_eq!((code, err.lines().count()), (2, 1), "{err}");
    assert!(err.contains("--otlp-share"), "{err}");
}

#[cfg(feature = "otel")]
mod with_otel {
    use crate::support::{Heliograph, get, run};
    use futures_util::{SinkExt as _, StreamExt as _};
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::JoinHandle;
    use tokio_tungstenite::connect_async;
    use tokio_tungstenite::tungstenite::Message;

    /// A collector that takes one delivery: where it is, and the head and the body of that.
    fn collector() -> (String, JoinHandle<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let delivery = std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let (mut head, mut line) = (String::new(), String::new());
            while stream.read_line(&mut line).unwrap() > 2 {
                head.push_str(&line.to_lowercase());
                line.clear();
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.unwrap().parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
            (head, body)
        });
        (url, delivery)
    }

    #[tokio::test]
    async fn a_collector_gets_requests_and_sessions_at_the_end_at_the_latest() {
        let (url, delivery) = collector();
        let free = "127.0.0.1:0";
        let server = Heliograph::start(&["signal", "--http", free, "--otlp-url", &url]);
        let (mut socket, _) = connect_async(server.announced("WebSocket")).await.unwrap();
        let hello = r#"{"type":"hello","room":"traced-room"}"#;
        socket.send(Message::text(hello)).await.unwrap();
        socket.next().await.unwrap().unwrap();
        socket.send(Message::text(r#"{"type":"leave"}"#)).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
        drop(socket);
        assert!(get(server.http(), "/v1/rooms").contains("200 OK"));
        server.signal("TERM");
        let (status, _) = server.wait();
        assert!(status.success());
        let (head, body) = delivery.join().unwrap();
        assert!(head.starts_with("post /v1/traces") && head.contains("x-protobuf"), "{head}");
        let text = String::from_utf8_lossy(&body);
        for named in ["heliograph", "session", "traced-room", "seated", "request", "/v1/rooms"] {
            assert!(text.contains(named), "{named} is missing in {text:?}");
        }
    }

    #[test]
    fn a_share_that_is_none_is_refused() {
        for share in ["1.5", "-1", "NaN"] {
            let share = format!("--otlp-share={share}");
            let (code, _, err) = run(&["--otlp-url=http://127.0.0.1:1/", &share]);
            assert_eq!((code, err.lines().count()), (2, 1), "{err}");
            assert!(err.contains("--otlp-share"), "{err}");
        }
    }
}
