//! A data channel of crate `webrtc`.

use crate::Data;
use crate::link::{ChannelEvent, Failed};
use bytes::BytesMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::sleep;
use webrtc::data_channel::{DataChannel as Inner, DataChannelEvent};

/// How often a channel that is to be closed is asked whether all has arrived.
const FLUSH_INTERVAL: Duration = Duration::from_millis(20);

/// One end of a data channel.
pub(crate) struct DataChannel {
    inner: Arc<dyn Inner>,
    /// Whether the connection has open channels.
    is_open: Arc<AtomicBool>,
}

impl DataChannel {
    pub(super) fn new(inner: Arc<dyn Inner>, is_open: Arc<AtomicBool>) -> Self {
        Self { inner, is_open }
    }

    /// What happens next; none once it is closed. Cancel safe.
    pub(crate) async fn next(&self) -> Option<ChannelEvent> {
        loop {
            match self.inner.poll().await? {
                DataChannelEvent::OnOpen => {
                    self.is_open.store(true, Ordering::Relaxed);
                    return Some(ChannelEvent::Open);
                }
                DataChannelEvent::OnMessage(message) if message.is_string => {
                    let text = String::from_utf8_lossy(&message.data).into_owned();
                    return Some(ChannelEvent::Message(Data::Text(text)));
                }
                DataChannelEvent::OnMessage(message) => {
                    return Some(ChannelEvent::Message(Data::Binary(message.data.freeze())));
                }
                DataChannelEvent::OnClose => return Some(ChannelEvent::Closed),
                DataChannelEvent::OnError
                | DataChannelEvent::OnClosing
                | DataChannelEvent::OnBufferedAmountLow
                | DataChannelEvent::OnBufferedAmountHigh
                | _ => {}
            }
        }
    }

    /// Sends a message, after waiting until the connection has room for it.
    pub(crate) async fn send(&self, data: &Data) -> Result<(), Failed> {
        match data {
            Data::Text(text) => self.inner.send_text(text).await?,
            Data::Binary(bytes) => self.inner.send(BytesMut::from(&bytes[..])).await?,
        }
        Ok(())
    }

    /// Waits until what was sent has arrived or is given up: once closed, it sends no more.
    pub(crate) async fn flush(&self) {
        while self.inner.outstanding_bytes().await.is_ok_and(|bytes| bytes > 0) {
            sleep(FLUSH_INTERVAL).await;
        }
    }

    /// Closes both ends.
    pub(crate) async fn close(&self) {
        // It is closed already, or the connection is.
        let _ = self.inner.close().await;
    }
}
