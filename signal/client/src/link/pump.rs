//! What moves the messages of one channel, in both directions.

use super::{ChannelEvent, Input};
use crate::inbox::{Closed, Inbox};
use crate::platform::DataChannel;
use crate::{Channel, Data, Event, Peer};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

pub(super) struct Pump {
    pub(super) id: u16,
    pub(super) channel: Channel,
    pub(super) end: DataChannel,
    pub(super) peer: Peer,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) inbox: Arc<Inbox>,
    /// Whether the program knows of the connection, so that messages follow it.
    pub(super) announced: watch::Receiver<bool>,
}

impl Pump {
    /// Moves messages until the channel is closed.
    pub(super) async fn run(self) {
        tokio::select! {
            _ = self.receive() => {}
            () = self.send() => {}
        }
    }

    async fn receive(&self) -> Result<(), Closed> {
        let mut announced = self.announced.clone();
        while let Some(event) = self.end.next().await {
            match event {
                ChannelEvent::Open => self.notify(true).await?,
                ChannelEvent::Message(data) => {
                    announced.wait_for(|announced| *announced).await.map_err(|_| Closed)?;
                    self.deliver(data).await?;
                }
                ChannelEvent::Closed => self.notify(false).await?,
            }
        }
        Ok(())
    }

    async fn send(&self) {
        loop {
            let data = self.channel.next().await;
            if let Err(error) = self.end.send(&data).await {
                tracing::debug!(peer = %self.peer.id(), %error, "a message isn't sent");
            }
            self.channel.mark_sent(&data);
        }
    }

    async fn deliver(&self, data: Data) -> Result<(), Closed> {
        self.channel.mark_received(&data);
        let (peer, channel) = (self.peer.clone(), self.channel.clone());
        let message = Event::Message { peer, channel, data };
        if !self.channel.is_lossy() {
            return self.inbox.push_reliable(message).await;
        }
        if !self.inbox.push_lossy(message)? {
            self.peer.count_dropped();
        }
        Ok(())
    }

    async fn notify(&self, is_open: bool) -> Result<(), Closed> {
        let input = Input::Channel { id: self.id, is_open };
        self.inputs.send(input).await.map_err(|_| Closed)
    }
}
