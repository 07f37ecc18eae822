//! Tokens, keys and webhooks, against services on this machine.

mod key_url;
mod tokens;
mod webhook;

use super::{Denied, Question};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use heliograph_base::{Now, Time, UnixTime};
use serde_json::Value;
use signal_core::{Metadata, RoomId, Token};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const UNIX: u64 = 1_700_000_000;

fn at(seconds: u64) -> Now {
    let time = Time::after_start(Duration::from_secs(seconds));
    Now { time, unix: UnixTime::from_seconds(UNIX + seconds) }
}

fn question(room: &str, token: Option<&str>) -> Question {
    Question {
        room: RoomId::parse(room).unwrap(),
        address: "192.0.2.1".parse().unwrap(),
        metadata: Some(Metadata::new(None, 1024).unwrap()),
        peer: None,
        token: token.map(Token::new),
    }
}

fn denied<T: std::fmt::Debug>(outcome: Result<T, Denied>) -> (String, String) {
    let Denied { code, text, .. } = outcome.unwrap_err();
    (code.to_string(), text.into())
}

/// A service that answers what it is told to, and remembers what it was asked.
#[derive(Clone, Default)]
struct Service {
    answer: Arc<Mutex<Option<(u16, String)>>>,
    asked: Arc<Mutex<Vec<(HeaderMap, String)>>>,
}

impl Service {
    /// Starts one that doesn't answer yet.
    async fn start() -> (Self, String) {
        let service = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/here", listener.local_addr().unwrap());
        let of_route = service.clone();
        let route = any(move |headers: HeaderMap, body: Bytes| async move {
            let body = String::from_utf8(body.to_vec()).unwrap();
            of_route.asked.lock().unwrap().push((headers, body));
            let answer = of_route.answer.lock().unwrap().clone();
            match answer {
                Some((status, text)) => (StatusCode::from_u16(status).unwrap(), text),
                None => std::future::pending().await,
            }
        });
        let router = Router::new().route("/here", route);
        tokio::spawn(async move { axum::serve(listener, router).await });
        (service, url)
    }

    fn answers(&self, status: u16, json: &Value) {
        *self.answer.lock().unwrap() = Some((status, json.to_string()));
    }

    fn is_silent(&self) {
        *self.answer.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}
