//! A WebSocket to the server.

use super::config::FRAMES_WAITING_MAX;
use super::listener::Listener;
use super::{now, sleep_until};
use crate::Error;
use crate::config::{GOODBYE_TIMEOUT, STEP_TIMEOUT};
use crate::line::SocketEvent;
use crate::link::Failed;
use crate::place::Place;
use signal_core::protocol::SUBPROTOCOL;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use tokio::sync::mpsc;
use wasm_bindgen::JsValue;
use web_sys::{CloseEvent, Event, MessageEvent, WebSocket};

/// The close code of a connection that ended without a close frame (RFC 6455 §7.1.5).
const ABNORMAL: u16 = 1006;

/// An open connection. What is sent waits in it; how much that can be, the session limits.
pub(crate) struct Socket {
    inner: WebSocket,
    happenings: mpsc::Receiver<Happening>,
    _listeners: [Listener; 3],
}

/// What the browser tells.
enum Happening {
    Opened,
    Event(SocketEvent),
}

/// Where the browser tells it. When nobody reads, it ends.
#[derive(Clone)]
struct Teller {
    sender: Rc<RefCell<Option<mpsc::Sender<Happening>>>>,
}

impl Socket {
    /// Connects and upgrades.
    pub(crate) async fn open(place: Place) -> Result<Box<Self>, Error> {
        let unreachable = |why: String| Error::Unreachable {
            address: place.address(),
            reason: io::Error::other(why),
        };
        let inner = WebSocket::new_with_str(&place.url, SUBPROTOCOL)
            .map_err(|thrown| unreachable(Failed::from(thrown).to_string()))?;
        let mut socket = Box::new(Self::listen(inner));
        let happening = tokio::select! {
            happening = socket.happenings.recv() => happening,
            () = sleep_until(now() + STEP_TIMEOUT) => {
                return Err(Error::Timeout { address: place.address(), after: STEP_TIMEOUT });
            }
        };
        match happening {
            Some(Happening::Opened) => Ok(socket),
            // The server may be there all the same, and only WebSockets be blocked.
            Some(Happening::Event(_)) | None => {
                let why = "there is no WebSocket, and the browser says why only in its console";
                Err(Error::Lost(why.to_owned()))
            }
        }
    }

    fn listen(inner: WebSocket) -> Self {
        let (sender, happenings) = mpsc::channel(FRAMES_WAITING_MAX);
        let opened = Teller { sender: Rc::new(RefCell::new(Some(sender))) };
        let (came, closed) = (opened.clone(), opened.clone());
        let listeners = [
            Listener::new(&inner, "open", move |_: Event| opened.tell(Happening::Opened)),
            Listener::new(&inner, "message", move |message: MessageEvent| {
                came.tell(Happening::Event(frame(&message.data())));
            }),
            Listener::new(&inner, "close", move |close: CloseEvent| {
                closed.tell(Happening::Event(end(&close)));
            }),
        ];
        Self { inner, happenings, _listeners: listeners }
    }

    /// Whether the server is on this machine: a browser treats that no differently.
    pub(crate) fn is_local(&self) -> bool {
        false
    }

    /// Sends a text frame.
    pub(crate) fn send(&mut self, text: String) {
        // It only fails before the connection is open.
        let _ = self.inner.send_with_str(&text);
    }

    /// Waits for what comes. Cancel safe.
    pub(crate) async fn event(&mut self) -> SocketEvent {
        loop {
            match self.happenings.recv().await {
                Some(Happening::Event(event)) => return event,
                Some(Happening::Opened) => {}
                None => {
                    return SocketEvent::Broken("more came than was read".to_owned());
                }
            }
        }
    }

    /// Closes it in the background, since the server may not answer any more.
    pub(crate) fn give_up(self, code: u16) {
        // Only for codes that are not for programs.
        if self.inner.close_with_code(code).is_err() {
            let _ = self.inner.close();
        }
    }

    /// Waits, not for long, until the server closes it.
    pub(crate) async fn wait_for_close(mut self) {
        let close = async { while let SocketEvent::Text(_) = self.event().await {} };
        tokio::select! {
            () = close => {}
            () = sleep_until(now() + GOODBYE_TIMEOUT) => {}
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Without a code it never fails, and on a closed one it does nothing.
        let _ = self.inner.close();
    }
}

impl Teller {
    fn tell(&self, happening: Happening) {
        let mut sender = self.sender.borrow_mut();
        if sender.as_ref().is_some_and(|sender| sender.try_send(happening).is_err()) {
            *sender = None;
        }
    }
}

fn frame(data: &JsValue) -> SocketEvent {
    match data.as_string() {
        Some(text) => SocketEvent::Text(text),
        None => SocketEvent::Unreadable("it sent a binary frame".to_owned()),
    }
}

fn end(close: &CloseEvent) -> SocketEvent {
    match close.code() {
        ABNORMAL => SocketEvent::Broken("it ended without a close frame".to_owned()),
        code => SocketEvent::Closed { code, text: close.reason() },
    }
}
