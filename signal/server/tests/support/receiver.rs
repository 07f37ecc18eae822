//! A service that is told events: what it does with each delivery, in its order, and what came.

use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// What it does with a delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    /// Answers with this status.
    Answers(u16),
    /// Breaks the connection.
    Breaks,
    /// Never answers.
    Waits,
}

/// A delivery that came.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

impl Delivery {
    pub(crate) fn events(&self) -> Vec<Value> {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    does: Arc<dyn Fn(usize) -> Does + Send + Sync>,
    came: Arc<Mutex<Vec<Delivery>>>,
}

impl Receiver {
    /// Starts one that does something with each delivery, counted from 0.
    pub(crate) async fn start(does: impl Fn(usize) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let receiver = Self { url, does: Arc::new(does), came: Arc::default() };
        let server = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        receiver
    }

    pub(crate) fn came(&self) -> Vec<Delivery> {
        self.came.lock().unwrap().clone()
    }

    /// All events that came, repeats included.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.came().iter().flat_map(Delivery::events).collect()
    }

    async fn serve(&self, mut stream: TcpStream) {
        while let Some(delivery) = read(&mut stream).await {
            let number = {
                let mut came = self.came.lock().unwrap();
                came.push(delivery);
                came.len() - 1
            };
            match (self.does)(number) {
                Does::Answers(status) => {
                    let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                Does::Breaks => return,
                Does::Waits => std::future::pending().await,
            }
        }
    }
}

/// Reads one request.
async fn read(stream: &mut TcpStream) -> Option<Delivery> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers: HashMap<_, _> =
        fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let mut body = bytes.split_off(end + 4);
    let length: usize = headers["content-length"].parse().unwrap();
    while body.len() < length {
        stream.read_buf(&mut body).await.ok()?;
    }
    Some(Delivery { headers, body: String::from_utf8(body).unwrap(), at: Instant::now() })
}
