//! An `RTCDataChannel`.

use super::config::{MESSAGE_OVERHEAD_BYTES, RECEIVED_BYTES_MAX};
use super::listener::Listener;
use crate::Data;
use crate::config::SEND_BUFFER_BYTES;
use crate::link::{ChannelEvent, Failed};
use bytes::Bytes;
use js_sys::Uint8Array;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use tokio::sync::Notify;
use wasm_bindgen::JsValue;
use web_sys::{Event, MessageEvent, RtcDataChannel, RtcDataChannelState, RtcDataChannelType};

/// One end of a data channel. Dropped, it closes.
pub(crate) struct DataChannel {
    inner: RtcDataChannel,
    heard: Rc<Heard>,
    _listeners: [Listener; 4],
}

/// What the browser told and nobody has read yet.
#[derive(Default)]
struct Heard {
    waiting: RefCell<Waiting>,
    /// For the reader: there is more.
    more: Notify,
    /// For the sender: the channel is open, has room again, or is closed.
    ready: Notify,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<ChannelEvent>,
    bytes: usize,
    is_closed: bool,
}

impl DataChannel {
    pub(super) fn new(inner: RtcDataChannel, is_lossy: bool) -> Self {
        inner.set_binary_type(RtcDataChannelType::Arraybuffer);
        inner.set_buffered_amount_low_threshold(SEND_BUFFER_BYTES as u32);
        let heard = Rc::new(Heard::default());
        let [open, message, low, close] = std::array::from_fn(|_| Rc::clone(&heard));
        let channel = inner.clone();
        let listeners = [
            Listener::new(&inner, "open", move |_: Event| {
                open.push(ChannelEvent::Open);
                open.ready.notify_one();
            }),
            Listener::new(&inner, "message", move |event: MessageEvent| {
                if !message.push_message(data(&event.data())) && !is_lossy {
                    tracing::warn!("a channel is closed: its messages are not read");
                    channel.close();
                }
            }),
            Listener::new(&inner, "bufferedamountlow", move |_: Event| low.ready.notify_one()),
            Listener::new(&inner, "close", move |_: Event| {
                close.push(ChannelEvent::Closed);
                close.waiting.borrow_mut().is_closed = true;
                close.ready.notify_one();
            }),
        ];
        Self { inner, heard, _listeners: listeners }
    }

    /// What happens next; none once it is closed. Cancel safe.
    pub(crate) async fn next(&self) -> Option<ChannelEvent> {
        loop {
            if let Some(event) = self.heard.pop() {
                return Some(event);
            }
            if self.heard.waiting.borrow().is_closed {
                return None;
            }
            self.heard.more.notified().await;
        }
    }

    /// Sends a message, after waiting until the channel is open and has room for it.
    pub(crate) async fn send(&self, data: &Data) -> Result<(), Failed> {
        while self.is_busy() {
            self.heard.ready.notified().await;
        }
        match data {
            Data::Text(text) => self.inner.send_with_str(text)?,
            Data::Binary(bytes) => self.inner.send_with_u8_array(bytes)?,
        }
        Ok(())
    }

    /// Waits until what was sent is on its way.
    pub(crate) async fn flush(&self) {
        self.inner.set_buffered_amount_low_threshold(0);
        while self.inner.ready_state() == RtcDataChannelState::Open
            && self.inner.buffered_amount() > 0
        {
            self.heard.ready.notified().await;
        }
    }

    /// Closes both ends, after what was sent.
    pub(crate) async fn close(&self) {
        self.inner.close();
    }

    /// Whether it may take a message later, but not now.
    fn is_busy(&self) -> bool {
        match self.inner.ready_state() {
            RtcDataChannelState::Connecting => true,
            RtcDataChannelState::Open => self.inner.buffered_amount() as usize > SEND_BUFFER_BYTES,
            RtcDataChannelState::Closing | RtcDataChannelState::Closed | _ => false,
        }
    }
}

impl Drop for DataChannel {
    fn drop(&mut self) {
        self.inner.close();
    }
}

impl Heard {
    fn push(&self, event: ChannelEvent) {
        self.waiting.borrow_mut().events.push_back(event);
        self.more.notify_one();
    }

    /// Adds a message if it fits, and says whether it did.
    fn push_message(&self, data: Data) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let bytes = waiting.bytes + weight(&data);
        if bytes > RECEIVED_BYTES_MAX {
            return false;
        }
        waiting.bytes = bytes;
        waiting.events.push_back(ChannelEvent::Message(data));
        drop(waiting);
        self.more.notify_one();
        true
    }

    fn pop(&self) -> Option<ChannelEvent> {
        let mut waiting = self.waiting.borrow_mut();
        let event = waiting.events.pop_front();
        if let Some(ChannelEvent::Message(data)) = &event {
            waiting.bytes -= weight(data);
        }
        event
    }
}

fn weight(data: &Data) -> usize {
    data.as_bytes().len() + MESSAGE_OVERHEAD_BYTES
}

fn data(value: &JsValue) -> Data {
    match value.as_string() {
        Some(text) => Data::Text(text),
        None => Data::Binary(Bytes::from(Uint8Array::new(value).to_vec())),
    }
}
