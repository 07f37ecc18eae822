//! The wire format: what is read is what was written, and reading never panics.

use relay_core::wire::{
    ChannelData, Key, Message, Method, PasswordAlgorithm, Writer, decode_xor_address,
    encode_xor_address,
};

/// Reads `bytes` as a message; what reads well must read the same after it was written again.
///
/// # Panics
/// If it doesn't.
pub fn wire(bytes: &[u8]) {
    channel_data(bytes);
    let Ok(message) = Message::parse(bytes) else {
        return;
    };
    let announced = u16::from_be_bytes([bytes[2], bytes[3]]);
    assert_eq!(usize::from(announced) + 20, bytes.len(), "the header's length is the length");
    assert_eq!(bytes[0] >> 6, 0, "the first two bits are zero");
    addresses(&message);
    for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
        let key = Key::long_term_by(algorithm, "user", "realm", "password");
        assert!(!message.is_signed_with(&key) || message.has_integrity());
        for is_sha256 in [false, true] {
            rewrite(&message, &key, is_sha256);
        }
    }
}

fn channel_data(bytes: &[u8]) {
    let Ok(message) = ChannelData::parse(bytes) else {
        return;
    };
    let length = u16::try_from(message.data.len()).expect("a length of 16 bits was announced");
    let header = ChannelData::header(message.channel, length);
    assert_eq!(bytes[..4], header);
    assert_eq!(&bytes[4..4 + message.data.len()], message.data);
    assert!(bytes.len() < 4 + message.data.len() + 4, "only padding follows");
}

fn addresses(message: &Message<'_>) {
    let transaction = message.transaction();
    for (_, value) in message.attributes() {
        let Ok(address) = decode_xor_address(value, &transaction) else {
            continue;
        };
        let mut again = [0; 20];
        let length = encode_xor_address(address, &transaction, &mut again);
        assert_eq!(again[1..length], value[1..], "an address is written as it was read");
    }
}

/// Writes the attributes that count into a new message, signed, and reads that.
fn rewrite(message: &Message<'_>, key: &Key, is_sha256: bool) {
    let Some(method) = Method::from_number(message.method_number()) else {
        return;
    };
    let bytes_of_all: usize = message.attributes().map(|(_, value)| value.len() + 8).sum();
    let mut buffer = vec![0; 20 + bytes_of_all + 64];
    let mut writer = Writer::new(&mut buffer, message.class(), method, message.transaction());
    for (kind, value) in message.attributes() {
        writer.attribute(kind, value);
    }
    if bytes_of_all > 0xff00 {
        return;
    }
    if is_sha256 {
        writer.integrity_sha256(key);
    } else {
        writer.integrity(key);
    }
    writer.fingerprint();
    let written = writer.finish();
    let again = Message::parse(written).expect("what is written reads");
    assert!(again.has_integrity() && again.has_fingerprint() && again.is_signed_with(key));
    assert_eq!(again.class(), message.class());
    assert_eq!(again.method_number(), message.method_number());
    assert_eq!(again.transaction(), message.transaction());
    assert!(again.attributes().eq(message.attributes()));
    unsigned(written, key);
}

/// FINGERPRINT at the end, which no signature covers.
const FINGERPRINT_BYTES: usize = 8;

/// A changed byte is seen, wherever it is.
fn unsigned(written: &[u8], key: &Key) {
    let place = written
        .iter()
        .fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let place = place % (written.len() - FINGERPRINT_BYTES);
    let mut bent = written.to_vec();
    bent[place] ^= 0x55;
    let is_accepted = Message::parse(&bent).is_ok_and(|message| message.is_signed_with(key));
    assert!(!is_accepted, "byte {place} was changed");
}
