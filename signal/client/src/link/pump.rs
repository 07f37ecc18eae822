//! What moves the messages of one channel, in both directions.

use super::control::CONTROL_ID;
use super::{ChannelEvent, Notice, Notices};
use crate::inbox::{Closed, Inbox};
use crate::platform::DataChannel;
use crate::{Channel, Data, Event, Peer};
use std::future::pending;
use std::sync::Arc;
use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::watch;

pub(super) struct Pump {
    pub(super) id: u16,
    pub(super) channel: Channel,
    pub(super) end: Arc<DataChannel>,
    pub(super) peer: Peer,
    pub(super) notices: Notices,
    pub(super) inbox: Arc<Inbox>,
    /// Whether the program knows of the connection, so that messages follow it.
    pub(super) announced: watch::Receiver<bool>,
}

impl Pump {
    /// Moves messages until the channel is closed.
    pub(super) async fn run(self) {
        let send = async {
            self.send().await;
            self.end.flush().await;
            // What the other side still has to say comes through.
            let _ = self.notices.send(Notice::Drained { id: self.id }).await;
            pending::<()>().await;
        };
        tokio::select! {
            _ = self.receive() => {}
            () = send => {}
        }
    }

    async fn receive(&self) -> Result<(), Closed> {
        let mut announced = self.announced.clone();
        while let Some(event) = self.end.next().await {
            match event {
                ChannelEvent::Open => self.mark(true).await?,
                ChannelEvent::Message(data) if self.id == CONTROL_ID => {
                    self.notices.send(Notice::Control(data)).await?;
                }
                ChannelEvent::Message(data) => {
                    announced.wait_for(|announced| *announced).await.map_err(|_| Closed)?;
                    self.deliver(data).await?;
                }
                ChannelEvent::Closed => break,
            }
        }
        self.mark(false).await
    }

    async fn send(&self) {
        while let Some(data) = self.channel.next().await {
            if let Err(error) = self.end.send(&data).await {
                tracing::debug!(peer = %self.peer.id(), %error, "a message isn't sent");
            }
            self.channel.mark_sent(&data);
        }
    }

    /// Hands a message to the reader of the channel, or to that of the room.
    async fn deliver(&self, data: Data) -> Result<(), Closed> {
        self.channel.mark_received(&data);
        let is_lossy = self.channel.is_lossy();
        let data = match self.channel.reader() {
            Some(reader) if is_lossy => match reader.try_send(data) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => return self.drop_one(),
                Err(TrySendError::Closed(data)) => data,
            },
            Some(reader) => match reader.send(data).await {
                Ok(()) => return Ok(()),
                Err(SendError(data)) => data,
            },
            None => data,
        };
        let (peer, channel) = (self.peer.clone(), self.channel.clone());
        let message = Event::Message { peer, channel, data };
        if !is_lossy {
            self.inbox.push_reliable(message).await
        } else if self.inbox.push_lossy(message)? {
            Ok(())
        } else {
            self.drop_one()
        }
    }

    fn drop_one(&self) -> Result<(), Closed> {
        self.channel.mark_dropped();
        Ok(())
    }

    async fn mark(&self, is_open: bool) -> Result<(), Closed> {
        self.notices.send(Notice::Channel { id: self.id, is_open }).await
    }
}
