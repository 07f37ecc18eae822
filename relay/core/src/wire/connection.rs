//! CONNECTION-ID: which connection of a TCP allocation with a peer is meant. RFC 6062 §6.2.1.

use super::{Class, Message, Method, attribute};
use crate::WorkerId;

/// The number of a peer connection, which carries the worker that it belongs to.
///
/// Whoever knows it still needs the credentials of the allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u32);

impl ConnectionId {
    /// The id of a worker's connection `number`, of which the lower 24 bits count.
    #[must_use]
    pub const fn new(worker: WorkerId, number: u32) -> Self {
        Self((worker.0 as u32) << 24 | number & 0xff_ffff)
    }

    /// The worker that it belongs to.
    #[must_use]
    pub const fn worker(self) -> WorkerId {
        WorkerId((self.0 >> 24) as u8)
    }

    /// Its 4 bytes on the wire.
    #[must_use]
    pub const fn value(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// Reads the value of CONNECTION-ID.
    #[must_use]
    pub fn from_value(value: &[u8]) -> Option<Self> {
        value.try_into().ok().map(|value| Self(u32::from_be_bytes(value)))
    }

    /// The connection that `message` asks to be bound to, if it is a ConnectionBind request.
    ///
    /// It must be handled by [`Self::worker`], and nothing behind it before its answer: with a
    /// success the stream carries no more messages. Says nothing about who asks.
    #[must_use]
    pub fn to_bind(message: &[u8]) -> Option<Self> {
        let is_it = message.starts_with(&Method::ConnectionBind.number().to_be_bytes());
        let message = is_it.then(|| Message::parse(message).ok()).flatten()?;
        let mut attributes = message.attributes();
        let (_, value) = attributes.find(|(kind, _)| *kind == attribute::CONNECTION_ID)?;
        (message.class() == Class::Request).then(|| Self::from_value(value)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{TransactionId, Writer};

    #[test]
    fn an_id_carries_its_worker() {
        let id = ConnectionId::new(WorkerId(7), 0xfe12_3456);
        assert_eq!((id.worker(), id.value()), (WorkerId(7), [7, 0x12, 0x34, 0x56]));
        assert_eq!(ConnectionId::from_value(&id.value()), Some(id));
        assert_eq!(ConnectionId::from_value(&[1, 2, 3]), None);
    }

    #[test]
    fn only_connection_bind_requests_ask_to_be_bound() {
        let id = ConnectionId::new(WorkerId(1), 2);
        let message = |method, class| {
            let mut buffer = [0; 100];
            let mut writer = Writer::new(&mut buffer, class, method, TransactionId([0; 12]));
            writer.attribute(attribute::CONNECTION_ID, &id.value());
            writer.finish().to_vec()
        };
        let request = message(Method::ConnectionBind, Class::Request);
        assert_eq!(ConnectionId::to_bind(&request), Some(id));
        assert_eq!(ConnectionId::to_bind(&request[..24]), None);
        assert_eq!(ConnectionId::to_bind(&message(Method::Connect, Class::Request)), None);
        assert_eq!(ConnectionId::to_bind(&message(Method::ConnectionBind, Class::Success)), None);
    }
}
