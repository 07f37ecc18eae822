//! Writing a STUN message into a buffer of the caller.

use super::message::message_type;
use super::{
    Class, ErrorCode, HEADER_BYTES, Key, MAGIC_COOKIE, Method, TransactionId, attribute,
    encode_xor_address, integrity,
};
use std::net::{IpAddr, SocketAddr};

/// Writes a STUN message from front to back. Padding is zero.
///
/// Every method panics if the buffer is too short: how long an answer gets is the writer's own
/// doing.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
    transaction: TransactionId,
}

impl<'b> Writer<'b> {
    /// Begins a message.
    pub fn new(
        buffer: &'b mut [u8],
        class: Class,
        method: Method,
        transaction: TransactionId,
    ) -> Self {
        buffer[..2].copy_from_slice(&message_type(class, method.number()).to_be_bytes());
        buffer[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        buffer[8..HEADER_BYTES].copy_from_slice(&transaction.0);
        Self { buffer, len: HEADER_BYTES, transaction }
    }

    /// Adds an attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.attribute_header(kind, value.len());
        self.put(value);
        self.put(&[0; 3][..padding(value.len())]);
    }

    /// Adds an XOR address.
    pub fn xor_address(&mut self, kind: u16, address: SocketAddr) {
        let mut value = [0; 20];
        let length = encode_xor_address(address, &self.transaction, &mut value);
        self.attribute(kind, &value[..length]);
    }

    /// Adds an address as it stands, in the form of MAPPED-ADDRESS: zero, family, port, 4 or 16
    /// bytes of address. RFC 8489 §14.1.
    pub fn plain_address(&mut self, kind: u16, address: SocketAddr) {
        let port = address.port().to_be_bytes();
        match address.ip() {
            IpAddr::V4(v4) => {
                self.attribute_header(kind, 8);
                self.put(&[0, 1]);
                self.put(&port);
                self.put(&v4.octets());
            }
            IpAddr::V6(v6) => {
                self.attribute_header(kind, 20);
                self.put(&[0, 2]);
                self.put(&port);
                self.put(&v6.octets());
            }
        }
    }

    /// Adds ERROR-CODE. RFC 8489 §14.8.
    pub fn error_code(&mut self, code: ErrorCode, phrase: &str) {
        let [class, number] = [code.number() / 100, code.number() % 100].map(|part| part as u8);
        self.attribute_header(attribute::ERROR_CODE, 4 + phrase.len());
        self.put(&[0, 0, class, number]);
        self.put(phrase.as_bytes());
        self.put(&[0; 3][..padding(phrase.len())]);
    }

    /// Adds ADDRESS-ERROR-CODE, without a reason phrase. RFC 8656 §18.12.
    pub fn address_error(&mut self, family: u8, code: ErrorCode) {
        let [class, number] = [code.number() / 100, code.number() % 100].map(|part| part as u8);
        self.attribute(attribute::ADDRESS_ERROR_CODE, &[family, 0, class, number]);
    }

    /// Adds MESSAGE-INTEGRITY over all before it. RFC 8489 §14.5.
    pub fn integrity(&mut self, key: &Key) {
        let mac = integrity::integrity(key, &self.buffer[..self.len]);
        self.attribute(attribute::MESSAGE_INTEGRITY, &mac);
    }

    /// Adds MESSAGE-INTEGRITY-SHA256 over all before it, in full length. RFC 8489 §14.6.
    pub fn integrity_sha256(&mut self, key: &Key) {
        let mac = integrity::integrity_sha256(key, &self.buffer[..self.len]);
        self.attribute(attribute::MESSAGE_INTEGRITY_SHA256, &mac);
    }

    /// Adds FINGERPRINT over all before it; it must be the last. RFC 8489 §14.7.
    pub fn fingerprint(&mut self) {
        let crc = integrity::fingerprint(&self.buffer[..self.len]);
        self.attribute(attribute::FINGERPRINT, &crc.to_be_bytes());
    }

    /// Ends the message.
    #[must_use]
    pub fn finish(self) -> &'b [u8] {
        let length = self.len;
        self.finish_at(length)
    }

    /// Ends the message with the header of a PADDING attribute, whose `bytes` bytes, a multiple of
    /// four, the caller sends behind it.
    #[must_use]
    pub fn finish_before_padding(mut self, bytes: usize) -> &'b [u8] {
        self.attribute_header(attribute::PADDING, bytes);
        let length = self.len + bytes;
        self.finish_at(length)
    }

    /// Ends the message with the header of a DATA attribute, whose `data_bytes` bytes and padding
    /// the caller sends behind it. At most [`Self::DATA_BYTES_MAX`].
    #[must_use]
    pub fn finish_before_data(mut self, data_bytes: usize) -> &'b [u8] {
        self.attribute_header(attribute::DATA, data_bytes);
        let length = self.len + data_bytes + padding(data_bytes);
        self.finish_at(length)
    }

    /// The most data that one message carries beside a peer address: what a length of 16 bits
    /// leaves.
    pub const DATA_BYTES_MAX: usize = 0xfffc - 4 - 24;

    fn finish_at(self, length: usize) -> &'b [u8] {
        let length = u16::try_from(length - HEADER_BYTES).expect("a message fits its length field");
        self.buffer[2..4].copy_from_slice(&length.to_be_bytes());
        &self.buffer[..self.len]
    }

    fn attribute_header(&mut self, kind: u16, length: usize) {
        let length = u16::try_from(length).expect("a value fits its length field");
        self.put(&kind.to_be_bytes());
        self.put(&length.to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        self.buffer[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// How many bytes follow a value of `length` bytes, so that the next attribute begins at a multiple
/// of four.
pub(crate) const fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}
