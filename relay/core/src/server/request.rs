//! A client's STUN message, taken apart once.

use super::Client;
use crate::wire::{
    ChannelNumber, Malformed, Message, Method, PasswordAlgorithm, TransactionId, attribute,
    decode_xor_address,
};
use heliograph_base::Now;
use std::net::SocketAddr;

/// A request or indication from a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) now: Now,
    pub(super) client: Client,
    pub(super) origin: Origin,
    pub(super) method: Method,
    pub(super) message: Message<'a>,
    pub(super) fields: Fields<'a>,
}

/// Who brought a datagram to this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Kernel,
    /// The one that the kernel chose. Vouched for: it found that the nonce is good.
    Worker {
        is_vouched_for: bool,
    },
}

/// The values of the attributes that the relay knows; of duplicates the first counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) username: Option<&'a [u8]>,
    pub(super) realm: Option<&'a [u8]>,
    pub(super) nonce: Option<&'a [u8]>,
    pub(super) user_hash: Option<&'a [u8]>,
    pub(super) password_algorithm: Option<&'a [u8]>,
    pub(super) password_algorithms: Option<&'a [u8]>,
    pub(super) lifetime: Option<&'a [u8]>,
    pub(super) transport: Option<&'a [u8]>,
    pub(super) family: Option<&'a [u8]>,
    pub(super) additional_family: Option<&'a [u8]>,
    pub(super) even_port: Option<&'a [u8]>,
    pub(super) reservation_token: Option<&'a [u8]>,
    pub(super) channel: Option<&'a [u8]>,
    pub(super) peer: Option<&'a [u8]>,
    pub(super) data: Option<&'a [u8]>,
    pub(super) mobility_ticket: Option<&'a [u8]>,
    pub(super) dont_fragment: Option<&'a [u8]>,
    pub(super) connection: Option<&'a [u8]>,
    pub(super) change_request: Option<&'a [u8]>,
    pub(super) response_port: Option<&'a [u8]>,
    pub(super) padding: Option<&'a [u8]>,
    pub(super) unknown: Unknown,
}

/// Types of attributes that must be understood and aren't.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unknown {
    kinds: [u16; Self::MAX],
    len: usize,
}

impl Unknown {
    /// How many of them an answer names.
    const MAX: usize = 8;

    pub(super) fn kinds(&self) -> &[u16] {
        &self.kinds[..self.len]
    }

    fn push(&mut self, kind: u16) {
        if self.len < Self::MAX && !self.kinds().contains(&kind) {
            self.kinds[self.len] = kind;
            self.len += 1;
        }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &Message<'a>) -> Self {
        let mut fields = Self::default();
        for (kind, value) in message.attributes() {
            let Some(field) = fields.field(kind) else {
                if attribute::is_comprehension_required(kind) {
                    fields.unknown.push(kind);
                }
                continue;
            };
            field.get_or_insert(value);
        }
        fields
    }

    /// Makes the attributes of RFC 5780 unknown, where it can't be served. RFC 5780 §6.1: "If the
    /// request contains CHANGE-REQUEST attribute and the server does not have an alternate address
    /// and port [...], the server MUST generate an error response of type 420."
    pub(super) fn forget_discovery(&mut self) {
        let all = [
            (attribute::CHANGE_REQUEST, &mut self.change_request),
            (attribute::RESPONSE_PORT, &mut self.response_port),
            (attribute::PADDING, &mut self.padding),
        ];
        for (kind, value) in all {
            if value.take().is_some() {
                self.unknown.push(kind);
            }
        }
    }

    fn field(&mut self, kind: u16) -> Option<&mut Option<&'a [u8]>> {
        match kind {
            attribute::USERNAME => Some(&mut self.username),
            attribute::REALM => Some(&mut self.realm),
            attribute::NONCE => Some(&mut self.nonce),
            attribute::USERHASH => Some(&mut self.user_hash),
            attribute::PASSWORD_ALGORITHM => Some(&mut self.password_algorithm),
            attribute::PASSWORD_ALGORITHMS => Some(&mut self.password_algorithms),
            attribute::LIFETIME => Some(&mut self.lifetime),
            attribute::REQUESTED_TRANSPORT => Some(&mut self.transport),
            attribute::REQUESTED_ADDRESS_FAMILY => Some(&mut self.family),
            attribute::ADDITIONAL_ADDRESS_FAMILY => Some(&mut self.additional_family),
            attribute::EVEN_PORT => Some(&mut self.even_port),
            attribute::RESERVATION_TOKEN => Some(&mut self.reservation_token),
            attribute::CHANNEL_NUMBER => Some(&mut self.channel),
            attribute::XOR_PEER_ADDRESS => Some(&mut self.peer),
            attribute::DATA => Some(&mut self.data),
            attribute::MOBILITY_TICKET => Some(&mut self.mobility_ticket),
            attribute::DONT_FRAGMENT => Some(&mut self.dont_fragment),
            attribute::CONNECTION_ID => Some(&mut self.connection),
            attribute::CHANGE_REQUEST => Some(&mut self.change_request),
            attribute::RESPONSE_PORT => Some(&mut self.response_port),
            attribute::PADDING => Some(&mut self.padding),
            _ => None,
        }
    }
}

impl<'a> Request<'a> {
    pub(super) fn transaction(&self) -> TransactionId {
        self.message.transaction()
    }

    /// How the key that signed it was made of the password. `is_known` says that the client has an
    /// allocation.
    ///
    /// RFC 8489 §9.2.4: "If the request contains neither the PASSWORD-ALGORITHMS nor the
    /// PASSWORD-ALGORITHM algorithm, then the request is processed as though PASSWORD-ALGORITHM
    /// were MD5. Otherwise, unless (1) PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS are both present,
    /// (2) PASSWORD-ALGORITHMS matches the value sent in the response that sent this NONCE, and (3)
    /// PASSWORD-ALGORITHM matches one of the entries in PASSWORD-ALGORITHMS, the server MUST
    /// generate an error response with an error code of 400 (Bad Request)."
    ///
    /// §9.2.3.2 contradicts (1): it has PASSWORD-ALGORITHM alone in subsequent requests. So the
    /// list may be missing when the client has shown before that it got ours unchanged.
    pub(super) fn algorithm(&self, is_known: bool) -> Result<PasswordAlgorithm, Malformed> {
        match (self.fields.password_algorithm, self.fields.password_algorithms) {
            (None, None) => Ok(PasswordAlgorithm::Md5),
            (Some(value), Some(list)) if *list == PasswordAlgorithm::LIST => {
                PasswordAlgorithm::from_value(value).ok_or(Malformed::Attribute)
            }
            (Some(value), None) if is_known => {
                PasswordAlgorithm::from_value(value).ok_or(Malformed::Attribute)
            }
            (Some(_) | None, Some(_)) | (Some(_), None) => Err(Malformed::Attribute),
        }
    }

    /// Whether the answer is signed with MESSAGE-INTEGRITY-SHA256. RFC 8489 §9.2.4: it is, "unless
    /// the request was processed as though PASSWORD-ALGORITHM was MD5 (because the request
    /// contained neither PASSWORD-ALGORITHMS nor PASSWORD-ALGORITHM)".
    pub(super) fn wants_sha256(&self) -> bool {
        self.fields.password_algorithm.is_some() || self.fields.password_algorithms.is_some()
    }

    /// LIFETIME in seconds, if there is one.
    pub(super) fn lifetime_s(&self) -> Result<Option<u32>, Malformed> {
        let Some(value) = self.fields.lifetime else {
            return Ok(None);
        };
        let value = value.try_into().map_err(|_| Malformed::Attribute)?;
        Ok(Some(u32::from_be_bytes(value)))
    }

    /// Whether it ends the allocation: a Refresh with LIFETIME 0. RFC 8656 §8.2.
    pub(super) fn is_farewell(&self) -> bool {
        self.method == Method::Refresh && self.lifetime_s() == Ok(Some(0))
    }

    /// Whether it has an attribute by which a client shows that it knows RFC 8656, or needs its
    /// ICMP.
    pub(super) fn is_of_rfc_8656(&self) -> bool {
        let Fields { dont_fragment, additional_family, password_algorithm, .. } = self.fields;
        dont_fragment.is_some() || additional_family.is_some() || password_algorithm.is_some()
    }

    /// The first XOR-PEER-ADDRESS.
    pub(super) fn peer(&self) -> Result<SocketAddr, Malformed> {
        let value = self.fields.peer.ok_or(Malformed::Address)?;
        decode_xor_address(value, &self.transaction())
    }

    /// Every XOR-PEER-ADDRESS.
    pub(super) fn peers(&self) -> impl Iterator<Item = Result<SocketAddr, Malformed>> + use<'a> {
        let transaction = self.transaction();
        let all = self.message.attributes();
        all.filter(|(kind, _)| *kind == attribute::XOR_PEER_ADDRESS)
            .map(move |(_, value)| decode_xor_address(value, &transaction))
    }

    /// CHANNEL-NUMBER.
    pub(super) fn channel(&self) -> Result<ChannelNumber, Malformed> {
        let value = self.fields.channel.ok_or(Malformed::Channel)?;
        let &[high, low, _, _] = value else {
            return Err(Malformed::Channel);
        };
        ChannelNumber::new(u16::from_be_bytes([high, low])).ok_or(Malformed::Channel)
    }
}
