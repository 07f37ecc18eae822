//! What a client says to a server to be relayed for, and what it reads in the answers.
//!
//! The bare forwarder has a language of its own: see [`Language::Bare`].

use anyhow::{Context as _, bail, ensure};
use relay_core::wire::{
    ChannelData, ChannelNumber, Class, Key, MAGIC_COOKIE, Message, Method, TransactionId, Writer,
    attribute, decode_xor_address,
};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// The user, the password and the realm of every server that is measured.
pub(crate) const USER: &str = "bench";
pub(crate) const PASSWORD: &str = "wheat-from-chaff";
pub(crate) const REALM: &str = "bench";

/// The longest request.
pub(crate) const REQUEST_BYTES_MAX: usize = 1024;

/// The channel of every client: each has one.
pub(crate) fn channel() -> ChannelNumber {
    ChannelNumber::new(0x4000).expect("in the range")
}

/// The four bytes before data on the channel.
pub(crate) fn channel_header(data_bytes: usize) -> [u8; 4] {
    let data_bytes = u16::try_from(data_bytes).expect("less than a datagram");
    ChannelData::header(channel(), data_bytes)
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// RFC 8656.
    Turn,
    /// A byte 0 asks for a socket; a byte 1, an IPv4 address and a port name the peer. Each is
    /// answered by the same byte and the address of the socket.
    Bare,
}

/// What a client asks for, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An Allocate without credentials, to be told realm and nonce.
    Challenge,
    Allocate,
    Permit(SocketAddrV4),
    Bind(SocketAddrV4),
    /// A Refresh to 0: the end of the allocation.
    Release,
}

/// What a client knows of its allocation.
#[derive(Debug, Default)]
pub(crate) struct Session {
    nonce: Vec<u8>,
    realm: Vec<u8>,
    key: Option<Key>,
    requests: u32,
    relayed: Option<SocketAddrV4>,
}

impl Session {
    /// The relayed transport address, once allocated.
    pub(crate) fn relayed(&self) -> anyhow::Result<SocketAddrV4> {
        self.relayed.context("not allocated")
    }

    /// Writes a request; nothing if the language has none for this step.
    pub(crate) fn request<'b>(
        &mut self,
        language: Language,
        step: Step,
        buffer: &'b mut [u8],
    ) -> Option<&'b [u8]> {
        match language {
            Language::Turn => {
                self.requests += 1;
                Some(self.turn_request(step, buffer))
            }
            Language::Bare => bare_request(step, buffer),
        }
    }

    fn turn_request<'b>(&self, step: Step, buffer: &'b mut [u8]) -> &'b [u8] {
        let method = method(step);
        let mut writer = Writer::new(buffer, Class::Request, method, self.transaction());
        match step {
            Step::Challenge | Step::Allocate => {
                writer.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            }
            Step::Permit(peer) => writer.xor_address(attribute::XOR_PEER_ADDRESS, peer.into()),
            Step::Bind(peer) => {
                let [high, low] = channel().number().to_be_bytes();
                writer.attribute(attribute::CHANNEL_NUMBER, &[high, low, 0, 0]);
                writer.xor_address(attribute::XOR_PEER_ADDRESS, peer.into());
            }
            Step::Release => writer.attribute(attribute::LIFETIME, &[0; 4]),
        }
        if let Some(key) = &self.key {
            writer.attribute(attribute::USERNAME, USER.as_bytes());
            writer.attribute(attribute::REALM, &self.realm);
            writer.attribute(attribute::NONCE, &self.nonce);
            writer.integrity(key);
        }
        writer.finish()
    }

    /// Reads what came; whether it answers the last request, which was for `step`.
    ///
    /// # Errors
    /// The server refuses, or says what it must not.
    pub(crate) fn handle(
        &mut self,
        language: Language,
        step: Step,
        bytes: &[u8],
    ) -> anyhow::Result<bool> {
        match language {
            Language::Turn => self.handle_turn(step, bytes),
            Language::Bare => {
                let [_, i0, i1, i2, i3, p0, p1] = *bytes else { bail!("not the forwarder") };
                let port = u16::from_be_bytes([p0, p1]);
                self.relayed = Some(SocketAddrV4::new(Ipv4Addr::new(i0, i1, i2, i3), port));
                Ok(true)
            }
        }
    }

    fn handle_turn(&mut self, step: Step, bytes: &[u8]) -> anyhow::Result<bool> {
        let message = Message::parse(bytes).ok().context("not a STUN message")?;
        if message.transaction() != self.transaction() {
            return Ok(false);
        }
        ensure!(message.method_number() == method(step).number(), "an answer to another method");
        match (message.class(), step) {
            (Class::Error, Step::Challenge) => self.handle_challenge(&message)?,
            (Class::Success, Step::Allocate) => {
                let value = find(&message, attribute::XOR_RELAYED_ADDRESS)?;
                let relayed = decode_xor_address(value, &message.transaction()).ok();
                let Some(SocketAddr::V4(relayed)) = relayed else { bail!("not an IPv4 address") };
                self.relayed = Some(relayed);
            }
            (Class::Success, Step::Permit(_) | Step::Bind(_) | Step::Release) => {}
            _ => bail!("the server answers {step:?} with {:?}", error_code(&message)),
        }
        let is_signed = self.key.as_ref().is_none_or(|key| message.is_signed_with(key));
        ensure!(is_signed || step == Step::Challenge, "an answer that is not signed");
        Ok(true)
    }

    fn handle_challenge(&mut self, message: &Message<'_>) -> anyhow::Result<()> {
        ensure!(error_code(message) == Some(401), "no challenge: {:?}", error_code(message));
        self.realm = find(message, attribute::REALM)?.to_vec();
        self.nonce = find(message, attribute::NONCE)?.to_vec();
        let realm = std::str::from_utf8(&self.realm)?;
        self.key = Some(Key::long_term(USER, realm, PASSWORD));
        Ok(())
    }

    fn transaction(&self) -> TransactionId {
        let mut id = *b"bench...0000";
        id[8..].copy_from_slice(&self.requests.to_be_bytes());
        TransactionId(id)
    }
}

fn method(step: Step) -> Method {
    match step {
        Step::Challenge | Step::Allocate => Method::Allocate,
        Step::Permit(_) => Method::CreatePermission,
        Step::Bind(_) => Method::ChannelBind,
        Step::Release => Method::Refresh,
    }
}

fn bare_request(step: Step, buffer: &mut [u8]) -> Option<&[u8]> {
    match step {
        Step::Challenge | Step::Permit(_) | Step::Release => None,
        Step::Allocate => {
            buffer[0] = 0;
            Some(&buffer[..1])
        }
        Step::Bind(peer) => {
            buffer[0] = 1;
            buffer[1..5].copy_from_slice(&peer.ip().octets());
            buffer[5..7].copy_from_slice(&peer.port().to_be_bytes());
            Some(&buffer[..7])
        }
    }
}

fn find<'a>(message: &Message<'a>, kind: u16) -> anyhow::Result<&'a [u8]> {
    let mut attributes = message.attributes();
    let found = attributes.find(|(found, _)| *found == kind);
    Ok(found.with_context(|| format!("no attribute {kind:#06x} in the answer"))?.1)
}

fn error_code(message: &Message<'_>) -> Option<u16> {
    match *find(message, attribute::ERROR_CODE).ok()? {
        [_, _, class, number, ..] => Some(u16::from(class) * 100 + u16::from(number)),
        _ => None,
    }
}

/// A Binding request, and its transaction id.
pub(crate) fn binding_request(transaction: [u8; 12]) -> [u8; 20] {
    let mut request = [0; 20];
    request[..2].copy_from_slice(&Method::Binding.number().to_be_bytes());
    request[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    request[8..].copy_from_slice(&transaction);
    request
}

/// Transaction id and mapped address of the answer to a Binding request; nothing if it is none.
pub(crate) fn read_binding(bytes: &[u8]) -> Option<([u8; 12], SocketAddr)> {
    let message = Message::parse(bytes).ok()?;
    let is_answer =
        message.class() == Class::Success && message.method_number() == Method::Binding.number();
    let value = find(&message, attribute::XOR_MAPPED_ADDRESS).ok().filter(|_| is_answer)?;
    let mapped = decode_xor_address(value, &message.transaction()).ok()?;
    Some((message.transaction().0, mapped))
}
