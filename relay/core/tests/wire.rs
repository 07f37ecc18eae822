//! The wire format: the vectors of RFC 5769, `stun-rs` as a second opinion, and bytes from nowhere.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use proptest::collection::vec;
use proptest::prelude::*;
use relay_core::wire::{
    ChannelData, Class, ErrorCode, HEADER_BYTES, Key, MAGIC_COOKIE, Malformed, Message, Method,
    PasswordAlgorithm, TransactionId, Writer, attribute, decode_xor_address, encode_xor_address,
    user_hash,
};
use std::net::{IpAddr, SocketAddr};
use stun_rs::attributes::stun::{Fingerprint, MessageIntegrity, Nonce, Realm, UserName};
use stun_rs::attributes::turn::{Data, LifeTime, XorPeerAddress};
use stun_rs::error::StunErrorLevel;
use stun_rs::{
    Algorithm, AlgorithmId, DecoderContextBuilder, HMACKey, MessageClass, MessageDecoderBuilder,
    MessageEncoderBuilder, MessageMethod, StunMessageBuilder,
};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// RFC 5769 §2.1.
const REQUEST: &str = "00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 \
    7420636c 69656e74 00240004 6e0001ff 80290008 932ff9b1 51263b36 00060009 6576746a 3a683676 \
    59202020 00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2 80280004 e57a3bcf";

/// RFC 5769 §2.2.
const IPV4_RESPONSE: &str = "0101003c 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 \
    20766563 746f7220 00200008 0001a147 e112a643 00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 \
    f06be7d7 80280004 c07d4c96";

/// RFC 5769 §2.3.
const IPV6_RESPONSE: &str = "01010048 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 \
    20766563 746f7220 00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9 00080014 a382954e \
    4be67bf1 1784c97c 8292c275 bfe3ed41 80280004 c8fb0b4c";

/// RFC 5769 §2.4.
const LONG_TERM_REQUEST: &str = "00010060 2112a442 78ad3433 c6ad72c0 29da412e 00060012 e3839ee3 \
    8388e383 aae38383 e382afe3 82b90000 0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 \
    53547679 36347341 0014000b 6578616d 706c652e 6f726700 00080014 f6702465 6dd64a3e 02b8e071 \
    2e85c9a2 8ca89666";

#[test]
fn the_request_of_rfc_5769_reads() {
    let bytes = hex(REQUEST);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.class(), message.method_number()), (Class::Request, 1));
    assert!(message.has_integrity() && message.has_fingerprint());
    let kinds: Vec<_> = message.attributes().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [0x8022, 0x0024, 0x8029, 0x0006]);
    let username = message.attributes().find(|(kind, _)| *kind == attribute::USERNAME);
    assert_eq!(username.unwrap().1, b"evtj:h6vY");
}

#[test]
fn the_responses_of_rfc_5769_read() {
    let ipv6 = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
    for (text, address) in [(IPV4_RESPONSE, "192.0.2.1:32853"), (IPV6_RESPONSE, ipv6)] {
        let bytes = hex(text);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.class(), message.method_number()), (Class::Success, 1));
        let (_, value) = message.attributes().nth(1).unwrap();
        let address: SocketAddr = address.parse().unwrap();
        assert_eq!(decode_xor_address(value, &message.transaction()), Ok(address));
        let mut encoded = [0; 20];
        let length = encode_xor_address(address, &message.transaction(), &mut encoded);
        assert_eq!(encoded[..length], *value);
    }
}

#[test]
fn the_long_term_request_of_rfc_5769_is_signed_with_its_password() {
    let bytes = hex(LONG_TERM_REQUEST);
    let message = Message::parse(&bytes).unwrap();
    let name = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
    assert!(message.is_signed_with(&Key::long_term(name, "example.org", "TheMatrIX")));
    assert!(!message.is_signed_with(&Key::long_term(name, "example.org", "TheMatrix")));
}

/// RFC 8489 Appendix B.1, as corrected by errata 6268.
const SHA256_REQUEST: &str = "00010090 2112a442 78ad3433 c6ad72c0 29da412e 001e0020 4a3cf38f \
    ef6992bd a952c678 0417da0f 24819415 569e60b2 05c46e41 407f1704 00150029 6f624d61 744a6f73 \
    32414141 43662f2f 3439396b 39353464 364f4c33 346f4c39 46535476 79363473 41000000 0014000b \
    6578616d 706c652e 6f726700 001d0004 00020000 001c0020 b5c7bf00 5b6c52a2 1c51c5e8 92f81924 \
    136296cb 927c4314 9309278c c6518e65";

fn matrix(algorithm: PasswordAlgorithm, password: &str) -> Key {
    let name = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
    Key::long_term_by(algorithm, name, "example.org", password)
}

#[test]
fn the_sha256_request_of_rfc_8489_is_signed_with_its_password_and_names_its_user() {
    let bytes = hex(SHA256_REQUEST);
    let message = Message::parse(&bytes).unwrap();
    assert!(message.has_integrity() && !message.has_truncated_integrity());
    assert!(message.is_signed_with(&matrix(PasswordAlgorithm::Sha256, "TheMatrIX")));
    assert!(!message.is_signed_with(&matrix(PasswordAlgorithm::Sha256, "TheMatrix")));
    assert!(!message.is_signed_with(&matrix(PasswordAlgorithm::Md5, "TheMatrIX")));
    let value = |wanted| message.attributes().find(|(kind, _)| *kind == wanted).unwrap().1;
    let name = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
    assert_eq!(value(attribute::USERHASH), user_hash(name, "example.org"));
    let algorithm = PasswordAlgorithm::from_value(value(attribute::PASSWORD_ALGORITHM));
    assert_eq!(algorithm, Some(PasswordAlgorithm::Sha256));
}

#[test]
fn the_writer_makes_the_sha256_request_of_rfc_8489() {
    let expected = hex(SHA256_REQUEST);
    let message = Message::parse(&expected).unwrap();
    let mut buffer = [0xff; 200];
    let id = message.transaction();
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::Binding, id);
    for (kind, value) in message.attributes() {
        writer.attribute(kind, value);
    }
    writer.integrity_sha256(&matrix(PasswordAlgorithm::Sha256, "TheMatrIX"));
    assert_eq!(writer.finish(), expected);
}

/// A Binding request with both MACs; `cut` bytes of the second are missing.
fn signed_twice(key: &Key, cut: usize) -> Vec<u8> {
    let write = |buffer: &mut [u8], value: &[u8]| {
        let id = TransactionId([5; 12]);
        let mut writer = Writer::new(buffer, Class::Request, Method::Binding, id);
        writer.attribute(attribute::USERNAME, b"alice");
        writer.integrity(key);
        writer.attribute(attribute::MESSAGE_INTEGRITY_SHA256, value);
        writer.finish().to_vec()
    };
    let mut buffer = [0; 200];
    let message = write(&mut buffer, &vec![0; 32 - cut]);
    let at = message.len() - (32 - cut) - 4;
    // As if it were written by hand: the MAC of what comes before, with the length as it will be.
    let mut before = message[..at].to_vec();
    before[2..4].copy_from_slice(&message[2..4]);
    let mac = hmac_sha256(key, &before);
    write(&mut buffer, &mac[..32 - cut])
}

/// HMAC as RFC 2104 spells it out: a second opinion.
fn hmac_sha256(key: &Key, message: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    assert_eq!(*key, Key::long_term_by(PasswordAlgorithm::Sha256, "alice", "test", "secret"));
    let key = Sha256::digest(b"alice:test:secret");
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(block, key)| *block ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// RFC 8489 §14.6: "The value will be at most 32 bytes, but it MUST be at least 16 bytes and MUST
/// be a multiple of 4 bytes."
#[test]
fn message_integrity_sha256_may_be_cut_to_16_bytes_in_steps_of_4() {
    let key = Key::long_term_by(PasswordAlgorithm::Sha256, "alice", "test", "secret");
    let other = Key::long_term_by(PasswordAlgorithm::Sha256, "alice", "test", "guess");
    for cut in 0..=32 {
        let bytes = signed_twice(&key, cut);
        let Ok(message) = Message::parse(&bytes) else {
            assert!(cut > 16 || cut % 4 != 0, "{cut}");
            assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::Integrity);
            continue;
        };
        assert!(cut <= 16 && cut % 4 == 0, "{cut}");
        assert!(message.is_signed_with(&key) && !message.is_signed_with(&other));
        assert_eq!(message.has_truncated_integrity(), cut > 0);
    }
}

/// RFC 8489 §14.5: "With the exception of the MESSAGE-INTEGRITY-SHA256 and FINGERPRINT attributes,
/// which appear after MESSAGE-INTEGRITY, agents MUST ignore all other attributes that follow
/// MESSAGE-INTEGRITY."
#[test]
fn what_follows_a_mac_is_not_there_but_its_sibling_and_fingerprint() {
    let key = Key::long_term_by(PasswordAlgorithm::Sha256, "alice", "test", "secret");
    let mut buffer = [0; 300];
    let id = TransactionId([5; 12]);
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::Binding, id);
    writer.attribute(attribute::USERNAME, b"alice");
    writer.integrity(&Key::long_term("alice", "test", "wrong"));
    writer.attribute(attribute::REALM, b"test");
    writer.integrity_sha256(&key);
    writer.attribute(attribute::LIFETIME, &[0; 4]);
    writer.integrity(&Key::long_term("alice", "test", "wrong"));
    writer.fingerprint();
    let message = Message::parse(writer.finish()).unwrap();
    let kinds: Vec<_> = message.attributes().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [attribute::USERNAME]);
    assert!(message.is_signed_with(&key) && message.has_fingerprint());
}

/// RFC 8489 §14: "The padding bits MUST be set to zero on sending".
#[test]
fn padding_is_zero_whatever_the_buffer_held() {
    for length in 0..9 {
        let mut buffer = [0xff; 100];
        let id = TransactionId([5; 12]);
        let mut writer = Writer::new(&mut buffer, Class::Error, Method::Binding, id);
        writer.attribute(attribute::REALM, &vec![b'r'; length]);
        writer.error_code(ErrorCode::Unauthorized, &"p".repeat(length));
        let bytes = writer.finish();
        let zeros = |from: usize| bytes[from..].iter().take_while(|byte| **byte == 0).count();
        let pad = length.next_multiple_of(4) - length;
        assert!(zeros(HEADER_BYTES + 4 + length) >= pad, "{length}: {bytes:x?}");
        assert_eq!(zeros(bytes.len() - pad), pad, "{length}: {bytes:x?}");
        assert!(Message::parse(bytes).is_ok());
    }
}

#[test]
fn any_changed_bit_is_seen() {
    let good = hex(LONG_TERM_REQUEST);
    let name = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
    let key = Key::long_term(name, "example.org", "TheMatrIX");
    for place in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[place] ^= 1 << bit;
            let is_signed =
                Message::parse(&bytes).is_ok_and(|message| message.is_signed_with(&key));
            assert!(!is_signed, "bit {bit} of byte {place}");
        }
    }
    let good = hex(IPV4_RESPONSE);
    let kind_of_fingerprint = 72..74; // without it there is nothing to compare
    for place in (0..good.len()).filter(|place| !kind_of_fingerprint.contains(place)) {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        assert!(Message::parse(&bytes).is_err(), "byte {place}");
    }
}

#[test]
fn each_fault_has_its_name() {
    let fault = |change: fn(&mut Vec<u8>)| {
        let mut bytes = hex(IPV4_RESPONSE);
        change(&mut bytes);
        Message::parse(&bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(fault(|bytes| bytes.truncate(19)), Malformed::Short);
    assert_eq!(fault(|bytes| bytes.truncate(76)), Malformed::Short);
    assert_eq!(fault(|bytes| bytes.push(0)), Malformed::Trailing);
    assert_eq!(fault(|bytes| bytes[0] |= 0x80), Malformed::Type);
    assert_eq!(fault(|bytes| bytes[3] += 1), Malformed::Length);
    assert_eq!(fault(|bytes| bytes[4] = 0), Malformed::Cookie);
    assert_eq!(fault(|bytes| bytes[22] = 0xff), Malformed::Attribute);
    assert_eq!(fault(|bytes| bytes[51] = 19), Malformed::Integrity);
    assert_eq!(fault(|bytes| bytes[79] ^= 1), Malformed::Fingerprint);
}

#[test]
fn a_fingerprint_must_be_last() {
    let mut buffer = [0; 100];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::Binding, ID);
    writer.fingerprint();
    writer.attribute(attribute::SOFTWARE, b"x");
    assert_eq!(Message::parse(writer.finish()).unwrap_err(), Malformed::Fingerprint);
}

#[test]
fn attributes_after_message_integrity_do_not_count() {
    let key = Key::long_term("a", "b", "c");
    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::Refresh, ID);
    writer.attribute(attribute::USERNAME, b"a");
    writer.integrity(&key);
    writer.attribute(attribute::LIFETIME, &[0; 4]);
    writer.integrity(&Key::long_term("x", "y", "z"));
    let message = Message::parse(writer.finish()).unwrap();
    assert!(message.is_signed_with(&key));
    assert_eq!(message.attributes().count(), 1);
}

#[test]
fn an_error_code_is_read_by_others() {
    let mut buffer = [0; 100];
    let mut writer = Writer::new(&mut buffer, Class::Error, Method::Allocate, ID);
    writer.error_code(ErrorCode::AllocationQuotaReached, "Quota");
    let (message, _) = MessageDecoderBuilder::default().build().decode(writer.finish()).unwrap();
    let code = message.get::<stun_rs::attributes::stun::ErrorCode>().unwrap();
    let code = code.expect_error_code().error_code();
    assert_eq!((code.error_code(), code.reason()), (486, "Quota"));
}

const ID: TransactionId = TransactionId([5; 12]);

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn sample_key() -> (Key, HMACKey) {
    let algorithm = Algorithm::from(AlgorithmId::MD5);
    let theirs = HMACKey::new_long_term("alice", "test", "secret", algorithm).unwrap();
    (Key::long_term("alice", "test", "secret"), theirs)
}

/// Ours and theirs of each class.
const CLASSES: [(Class, MessageClass); 4] = [
    (Class::Request, MessageClass::Request),
    (Class::Indication, MessageClass::Indication),
    (Class::Success, MessageClass::SuccessResponse),
    (Class::Error, MessageClass::ErrorResponse),
];

proptest! {
    #[test]
    fn what_is_written_reads_back(
        attributes in vec((0x0100_u16..0x8000, vec(any::<u8>(), 0..50)), 0..8),
        is_signed in any::<bool>(),
        has_fingerprint in any::<bool>(),
    ) {
        let (key, _) = sample_key();
        let mut buffer = [0; 1024];
        let mut writer = Writer::new(&mut buffer, Class::Success, Method::Data, ID);
        for (kind, value) in &attributes {
            writer.attribute(*kind, value);
        }
        if is_signed {
            writer.integrity(&key);
        }
        if has_fingerprint {
            writer.fingerprint();
        }
        let message = Message::parse(writer.finish()).unwrap();
        let read: Vec<_> =
            message.attributes().map(|(kind, value)| (kind, value.to_vec())).collect();
        prop_assert_eq!(read, attributes);
        prop_assert_eq!(message.is_signed_with(&key), is_signed);
        prop_assert_eq!(message.has_fingerprint(), has_fingerprint);
        prop_assert_eq!(message.transaction(), ID);
    }

    #[test]
    fn what_others_write_we_read(
        (ours, theirs) in proptest::sample::select(CLASSES.to_vec()),
        method in 0_u16..0x1000,
        peer in address(),
        lifetime in any::<u32>(),
        data in vec(any::<u8>(), 0..60),
    ) {
        let (key, their_key) = sample_key();
        let method_id = MessageMethod::try_from(method).unwrap();
        let message = StunMessageBuilder::new(method_id, theirs)
            .with_attribute(UserName::new("alice").unwrap())
            .with_attribute(Realm::new("test").unwrap())
            .with_attribute(Nonce::new("0123456789").unwrap())
            .with_attribute(LifeTime::from(lifetime))
            .with_attribute(XorPeerAddress::from(peer))
            .with_attribute(Data::new(&data))
            .with_attribute(MessageIntegrity::new(their_key))
            .with_attribute(Fingerprint::default())
            .build();
        let mut buffer = [0; 400];
        let encoder = MessageEncoderBuilder::default().build();
        let length = encoder.encode(&mut buffer, &message).unwrap();
        let message = Message::parse(&buffer[..length]).unwrap();
        prop_assert_eq!((message.class(), message.method_number()), (ours, method));
        prop_assert!(message.is_signed_with(&key) && message.has_fingerprint());
        let value = |kind| message.attributes().find(|(other, _)| *other == kind).unwrap().1;
        prop_assert_eq!(value(attribute::LIFETIME), lifetime.to_be_bytes());
        prop_assert_eq!(value(attribute::DATA), &data[..]);
        let read = decode_xor_address(value(attribute::XOR_PEER_ADDRESS), &message.transaction());
        prop_assert_eq!(read, Ok(peer));
    }

    #[test]
    fn what_we_write_others_read(
        (ours, theirs) in proptest::sample::select(CLASSES.to_vec()),
        method in proptest::sample::select(Method::ALL.to_vec()),
        peer in address(),
        transaction in any::<[u8; 12]>(),
    ) {
        let (key, their_key) = sample_key();
        let mut buffer = [0; 400];
        let mut writer = Writer::new(&mut buffer, ours, method, TransactionId(transaction));
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        writer.attribute(attribute::SOFTWARE, b"odd");
        writer.integrity(&key);
        writer.fingerprint();
        let bytes = writer.finish();
        let context = DecoderContextBuilder::default().with_key(their_key).with_validation();
        let decoder = MessageDecoderBuilder::default().with_context(context.build()).build();
        let (message, length) = decoder.decode(bytes).unwrap();
        prop_assert_eq!(length, bytes.len());
        prop_assert_eq!(message.class(), theirs);
        prop_assert_eq!(message.method().as_u16(), method.number());
        prop_assert_eq!(message.transaction_id().as_bytes(), &transaction);
        let read = message.get::<XorPeerAddress>().unwrap().expect_xor_peer_address();
        prop_assert_eq!(*read.socket_address(), peer);
        prop_assert!(message.get::<MessageIntegrity>().is_some());
    }

    #[test]
    fn no_bytes_panic_and_others_see_the_same_structure(
        body in vec(any::<u8>(), 0..200),
        head in any::<[u8; 2]>(),
    ) {
        Message::parse(&body).ok();
        ChannelData::parse(&body).ok();
        decode_xor_address(&body, &ID).ok();
        let body = &body[..body.len() & !3];
        let mut bytes = vec![head[0] & 0x3f, head[1], 0, body.len() as u8];
        bytes.extend(MAGIC_COOKIE.to_be_bytes());
        bytes.extend(ID.0);
        bytes.extend(body);
        let Ok(message) = Message::parse(&bytes) else { return Ok(()) };
        let length: usize = message.attributes().map(|(_, value)| 4 + value.len()).sum();
        prop_assert!(HEADER_BYTES + length <= bytes.len());
        match MessageDecoderBuilder::default().build().decode(&bytes) {
            Ok((theirs, _)) => {
                let theirs = theirs.attributes().iter().map(|other| other.attribute_type());
                for ((ours, _), theirs) in message.attributes().zip(theirs) {
                    prop_assert_eq!(ours, theirs.as_u16());
                }
            }
            // They look into values while we leave that to who needs one.
            Err(error) => prop_assert!(matches!(error.0, StunErrorLevel::Attribute(_))),
        }
    }
}
