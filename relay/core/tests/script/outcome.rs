//! What comes of a datagram, and what a foreign client reads in an answer.

use super::{Client, channel_data, key, port_at};
use relay_core::{At, Forwarded, ListenerId, Reason, Verdict, WorkerId};
use std::net::SocketAddr;
use stun_rs::attributes::stun::{
    ErrorCode, MessageIntegrity, Nonce, UnknownAttributes, XorMappedAddress,
};
use stun_rs::attributes::turn::{Data, LifeTime, XorPeerAddress, XorRelayedAddress};
use stun_rs::methods::DATA;
use stun_rs::{DecoderContextBuilder, MessageClass, MessageDecoderBuilder, StunMessage};

/// A verdict that owns what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Send { via: At, to: SocketAddr, bytes: Vec<u8> },
    Handover { worker: WorkerId, from: SocketAddr, to: SocketAddr, body: Vec<u8> },
    Forward(Forward),
    Done,
    Drop(Reason),
}

/// A client's datagram that another worker is to handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    pub worker: WorkerId,
    pub listener: ListenerId,
    pub from: SocketAddr,
    pub bytes: Vec<u8>,
    pub is_vouched_for: bool,
}

impl Outcome {
    #[track_caller]
    pub fn expect_forward(self, worker: u8) -> Forward {
        let Self::Forward(forward) = self else { panic!("not forwarded: {self:?}") };
        assert_eq!(forward.worker, WorkerId(worker));
        forward
    }

    pub fn of(verdict: Verdict<'_>) -> Self {
        match verdict {
            Verdict::Send(transmit) => {
                let mut bytes = [transmit.head, transmit.body].concat();
                bytes.resize(bytes.len() + transmit.pad, 0);
                Self::Send { via: transmit.via, to: transmit.to, bytes }
            }
            Verdict::Handover { worker, from, to, body } => {
                Self::Handover { worker, from, to, body: body.to_vec() }
            }
            Verdict::Forward { worker, forwarded } => {
                let Forwarded { listener, from, bytes, is_vouched_for } = forwarded;
                let bytes = bytes.to_vec();
                Self::Forward(Forward { worker, listener, from, bytes, is_vouched_for })
            }
            Verdict::Done => Self::Done,
            Verdict::Drop(reason) => Self::Drop(reason),
        }
    }

    #[track_caller]
    pub fn expect_drop(self, reason: Reason) {
        assert_eq!(self, Self::Drop(reason));
    }

    /// Something is sent to `client`.
    #[track_caller]
    pub fn expect_to_client(self, client: Client) -> Vec<u8> {
        match &self {
            Self::Send { via, to, bytes } => {
                assert_eq!((*via, *to), (At::Listener(client.listener), client.address));
                bytes.clone()
            }
            Self::Handover { .. } | Self::Forward(_) | Self::Done | Self::Drop(_) => {
                panic!("not sent: {self:?}")
            }
        }
    }

    #[track_caller]
    pub fn expect_answer(self, client: Client) -> Answer {
        Answer::read(client, self.expect_to_client(client))
    }

    /// `data` goes to `peer` from the port of a relayed address.
    #[track_caller]
    pub fn expect_to_peer(self, relayed: SocketAddr, peer: SocketAddr, data: &[u8]) {
        let via = At::Port(port_at(relayed));
        assert_eq!(self, Self::Send { via, to: peer, bytes: data.to_vec() });
    }

    #[track_caller]
    pub fn expect_channel_data(self, client: Client, channel: u16, data: &[u8]) {
        assert_eq!(self.expect_to_client(client), channel_data(channel, data));
    }

    #[track_caller]
    pub fn expect_data_indication(self, client: Client, peer: SocketAddr, data: &[u8]) {
        let bytes = self.expect_to_client(client);
        let (message, length) = MessageDecoderBuilder::default().build().decode(&bytes).unwrap();
        assert_eq!(length, bytes.len());
        assert_eq!((message.method(), message.class()), (DATA, MessageClass::Indication));
        let from = message.get::<XorPeerAddress>().unwrap().expect_xor_peer_address();
        assert_eq!(*from.socket_address(), peer);
        assert_eq!(message.get::<Data>().unwrap().expect_data().as_bytes(), data);
    }
}

/// An answer, as the client reads it.
#[derive(Debug)]
pub struct Answer {
    pub message: StunMessage,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// Reads it, and checks its MESSAGE-INTEGRITY and FINGERPRINT if they are there.
    #[track_caller]
    fn read(client: Client, bytes: Vec<u8>) -> Self {
        let context = DecoderContextBuilder::default().with_key(key(client)).with_validation();
        let decoder = MessageDecoderBuilder::default().with_context(context.build()).build();
        let (message, length) = decoder.decode(&bytes).unwrap();
        assert_eq!(length, bytes.len());
        Self { message, bytes }
    }

    pub fn code(&self) -> Option<u16> {
        let code = self.message.get::<ErrorCode>()?.expect_error_code();
        Some(code.error_code().error_code())
    }

    pub fn is_signed(&self) -> bool {
        self.message.get::<MessageIntegrity>().is_some()
    }

    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert_eq!(self.message.class(), MessageClass::SuccessResponse, "{:?}", self.code());
        self
    }

    #[track_caller]
    pub fn expect_error(self, code: u16) -> Self {
        assert_eq!(self.message.class(), MessageClass::ErrorResponse);
        assert_eq!(self.code(), Some(code));
        self
    }

    #[track_caller]
    pub fn nonce(&self) -> String {
        self.message.get::<Nonce>().unwrap().expect_nonce().as_str().to_owned()
    }

    #[track_caller]
    pub fn relayed(&self) -> SocketAddr {
        let relayed = self.message.get::<XorRelayedAddress>().unwrap();
        *relayed.expect_xor_relayed_address().socket_address()
    }

    #[track_caller]
    pub fn mapped(&self) -> SocketAddr {
        let mapped = self.message.get::<XorMappedAddress>().unwrap();
        *mapped.expect_xor_mapped_address().socket_address()
    }

    #[track_caller]
    pub fn lifetime_s(&self) -> u32 {
        self.message.get::<LifeTime>().unwrap().expect_life_time().as_u32()
    }

    /// The value of the first attribute of this type.
    pub fn value(&self, kind: u16) -> Option<&[u8]> {
        let message = relay_core::wire::Message::parse(&self.bytes).unwrap();
        message.attributes().find(|(it, _)| *it == kind).map(|(_, value)| value)
    }

    #[track_caller]
    pub fn unknown(&self) -> Vec<u16> {
        let unknown = self.message.get::<UnknownAttributes>().unwrap();
        unknown.expect_unknown_attributes().attributes().to_vec()
    }
}
