//! Looking into messages: those that go in, and those that come out.

use relay_core::wire::{
    ChannelData, Class, Message, Method, TransactionId, attribute, decode_xor_address,
    encode_xor_address,
};
use relay_core::{At, ListenerId};
use std::net::SocketAddr;

/// The class of an answer to `request`, after a look at what every answer has.
pub(crate) fn answer_class(request: &[u8], answer: &[u8]) -> Class {
    let request = Message::parse(request).expect("only what reads is answered");
    let answer = Message::parse(answer).expect("an answer reads");
    assert_eq!(request.class(), Class::Request, "only requests are answered");
    assert_eq!(answer.transaction(), request.transaction());
    assert_eq!(answer.method_number(), request.method_number());
    answer.class()
}

/// Whether it is an answer, not data.
pub(crate) fn is_answer(bytes: &[u8]) -> bool {
    let message = Message::parse(bytes);
    message.is_ok_and(|message| matches!(message.class(), Class::Success | Class::Error))
}

/// Whether it is data of a client, by which it also shows that it gets what is sent to it.
pub(crate) fn is_data(bytes: &[u8]) -> bool {
    if bytes.first().is_some_and(|first| first >> 6 == 1) {
        return ChannelData::parse(bytes).is_ok();
    }
    let Ok(message) = Message::parse(bytes) else {
        return false;
    };
    let is_send = message.class() == Class::Indication
        && message.method_number() == Method::Send.number()
        && find(&message, attribute::DATA).is_some();
    let peer = find(&message, attribute::XOR_PEER_ADDRESS);
    let peer = peer.map(|value| decode_xor_address(value, &message.transaction()));
    is_send && matches!(peer, Some(Ok(_))) && message.attributes().all(|(kind, _)| is_known(kind))
}

/// Attributes that a relay without RFC 5780 understands, or need not understand.
const fn is_known(kind: u16) -> bool {
    matches!(
        kind,
        0x0006 | 0x000c | 0x000d | 0x0012..=0x0015 | 0x0017..=0x001a | 0x001d | 0x001e | 0x0022
            | 0x002a | 0x8000..
    )
}

/// `bytes` go to a client and carry `data`, in ChannelData or a Data indication.
pub(crate) fn carries(via: At, bytes: &[u8], data: &[u8]) {
    let is_stream = via == At::Listener(ListenerId(2));
    if let Ok(message) = ChannelData::parse(bytes) {
        assert_eq!(message.data, data);
        let padding = if is_stream { data.len().next_multiple_of(4) } else { data.len() };
        assert_eq!(bytes.len(), 4 + padding, "padded on streams only");
        return;
    }
    let message = read(bytes);
    assert_eq!((message.class(), message.method_number()), (Class::Indication, 0x007));
    assert_eq!(find(&message, attribute::DATA), Some(data));
}

pub(crate) fn read(bytes: &[u8]) -> Message<'_> {
    Message::parse(bytes).expect("what the relay sends or answers reads")
}

/// The first attribute of a kind.
pub(crate) fn find<'a>(message: &Message<'a>, kind: u16) -> Option<&'a [u8]> {
    message.attributes().find(|(other, _)| *other == kind).map(|(_, value)| value)
}

/// The addresses of a kind, in order.
pub(crate) fn addresses(message: &Message<'_>, kind: u16) -> impl Iterator<Item = SocketAddr> {
    let transaction = message.transaction();
    let values = message.attributes().filter(move |(other, _)| *other == kind);
    values.map(move |(_, value)| {
        decode_xor_address(value, &transaction).expect("a wrong one is refused")
    })
}

/// The number of an error answer, 300 to 699.
pub(crate) fn error_number(answer: &Message<'_>) -> u16 {
    let value = find(answer, attribute::ERROR_CODE).expect("an error has a code");
    u16::from(value[2]) * 100 + u16::from(value[3])
}

pub(crate) fn encoded(peer: SocketAddr, transaction: &TransactionId) -> Vec<u8> {
    let mut value = [0; 20];
    let length = encode_xor_address(peer, transaction, &mut value);
    value[..length].to_vec()
}
