//! A client of the admin API, and a program that serves it.

#![allow(dead_code, reason = "each test file uses its part of it")]

use crate::support::Heliograph;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) const TOKEN: &str = "a-token-of-the-tests";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Starts the program with an admin API on any port.
pub(crate) fn start(arguments: &[&str]) -> Heliograph {
    let admin = ["--admin", "127.0.0.1:0", "--admin-token", TOKEN];
    Heliograph::start(&[arguments, &admin].concat())
}

pub(crate) fn address(server: &Heliograph) -> SocketAddr {
    let page = server.announced("Admin");
    page.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address")
}

/// Asks with the token.
pub(crate) fn ask(server: &Heliograph, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let body = body.map(Value::to_string).unwrap_or_default();
    send(address(server), method, path, Some(TOKEN), &body)
}

/// Asks with the token, and expects a good answer.
pub(crate) fn get(server: &Heliograph, path: &str) -> Value {
    let answer = ask(server, "GET", path, None);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// Asks as it is told to.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Answer {
    let mut stream = connect(address);
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let (bearer, length) = (bearer.unwrap_or_default(), body.len());
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{bearer}\
         Content-Length: {length}\r\n\r\n{body}"
    );
    // An answer may come before all of the body was taken.
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).expect("it answers with text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (head, body) = (head.to_ascii_lowercase(), body.to_owned());
    Answer { status: status.expect("a status"), head, body }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    stream
}
