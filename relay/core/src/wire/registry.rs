//! The numbers that IANA assigned, as far as this relay knows them.

/// The methods this relay answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// RFC 8489 §3.
    Binding,
    /// RFC 8656 §7.
    Allocate,
    /// RFC 8656 §8.
    Refresh,
    /// RFC 8656 §11, an indication.
    Send,
    /// RFC 8656 §11, an indication.
    Data,
    /// RFC 8656 §10.
    CreatePermission,
    /// RFC 8656 §12.
    ChannelBind,
    /// RFC 6062 §4.3.
    Connect,
    /// RFC 6062 §4.3.
    ConnectionBind,
    /// RFC 6062 §4.4, an indication.
    ConnectionAttempt,
}

impl Method {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::Binding,
        Self::Allocate,
        Self::Refresh,
        Self::Send,
        Self::Data,
        Self::CreatePermission,
        Self::ChannelBind,
        Self::Connect,
        Self::ConnectionBind,
        Self::ConnectionAttempt,
    ];

    /// The method with this number; nothing if the relay doesn't know it.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.number() == number)
    }

    /// Its number, 12 bits. RFC 8489 §18.2, RFC 8656 §18, RFC 6062 §6.1.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Binding => 0x001,
            Self::Allocate => 0x003,
            Self::Refresh => 0x004,
            Self::Send => 0x006,
            Self::Data => 0x007,
            Self::CreatePermission => 0x008,
            Self::ChannelBind => 0x009,
            Self::Connect => 0x00a,
            Self::ConnectionBind => 0x00b,
            Self::ConnectionAttempt => 0x00c,
        }
    }

    /// Its name in `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Allocate => "allocate",
            Self::Refresh => "refresh",
            Self::Send => "send",
            Self::Data => "data",
            Self::CreatePermission => "create_permission",
            Self::ChannelBind => "channel_bind",
            Self::Connect => "connect",
            Self::ConnectionBind => "connection_bind",
            Self::ConnectionAttempt => "connection_attempt",
        }
    }
}

/// How a key is made of a password. RFC 8489 §18.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordAlgorithm {
    /// 16 bytes; what all clients knew before RFC 8489.
    Md5,
    /// 32 bytes.
    Sha256,
}

impl PasswordAlgorithm {
    /// All of them, the preferred one first.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Md5];

    /// The value of PASSWORD-ALGORITHMS that names all of them, the preferred one first.
    pub const LIST: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];

    /// Reads the value of PASSWORD-ALGORITHM: number and length of the parameters, 2 bytes each.
    /// Neither algorithm has parameters.
    #[must_use]
    pub const fn from_value(value: &[u8]) -> Option<Self> {
        match value {
            [0, 1, 0, 0] => Some(Self::Md5),
            [0, 2, 0, 0] => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// The error codes this relay answers with. RFC 8489 §14.8, RFC 8656 §19.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// 300: another server takes this request.
    TryAlternate,
    /// 400: the request is malformed or contradicts the rules.
    BadRequest,
    /// 401: no or wrong credentials.
    Unauthorized,
    /// 403: the policy denies the peer address.
    Forbidden,
    /// 405: allocations can't be taken along to another address here. RFC 8016.
    MobilityForbidden,
    /// 420: the request has attributes that must be understood and aren't.
    UnknownAttribute,
    /// 437: the 5-tuple has no allocation, or has one already.
    AllocationMismatch,
    /// 438: the nonce isn't good any more; the answer has a new one.
    StaleNonce,
    /// 440: the relay has no address of the family asked for.
    AddressFamilyNotSupported,
    /// 441: another user made the allocation.
    WrongCredentials,
    /// 442: only UDP is relayed, and TCP where there are stream listeners.
    UnsupportedTransportProtocol,
    /// 443: the peer address isn't of the allocation's family.
    PeerAddressFamilyMismatch,
    /// 446: the allocation has a connection with this peer. RFC 6062 §6.3.
    ConnectionAlreadyExists,
    /// 447: the peer can't be connected to. RFC 6062 §6.3.
    ConnectionTimeoutOrFailure,
    /// 486: the user has as many allocations as it may.
    AllocationQuotaReached,
    /// 508: the relay or the allocation is full.
    InsufficientCapacity,
}

impl ErrorCode {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 16] = [
        Self::TryAlternate,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::MobilityForbidden,
        Self::UnknownAttribute,
        Self::AllocationMismatch,
        Self::StaleNonce,
        Self::AddressFamilyNotSupported,
        Self::WrongCredentials,
        Self::UnsupportedTransportProtocol,
        Self::PeerAddressFamilyMismatch,
        Self::ConnectionAlreadyExists,
        Self::ConnectionTimeoutOrFailure,
        Self::AllocationQuotaReached,
        Self::InsufficientCapacity,
    ];

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::TryAlternate => 300,
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::MobilityForbidden => 405,
            Self::UnknownAttribute => 420,
            Self::AllocationMismatch => 437,
            Self::StaleNonce => 438,
            Self::AddressFamilyNotSupported => 440,
            Self::WrongCredentials => 441,
            Self::UnsupportedTransportProtocol => 442,
            Self::PeerAddressFamilyMismatch => 443,
            Self::ConnectionAlreadyExists => 446,
            Self::ConnectionTimeoutOrFailure => 447,
            Self::AllocationQuotaReached => 486,
            Self::InsufficientCapacity => 508,
        }
    }

    /// Its number as text.
    #[must_use]
    pub const fn digits(self) -> &'static str {
        match self {
            Self::TryAlternate => "300",
            Self::BadRequest => "400",
            Self::Unauthorized => "401",
            Self::Forbidden => "403",
            Self::MobilityForbidden => "405",
            Self::UnknownAttribute => "420",
            Self::AllocationMismatch => "437",
            Self::StaleNonce => "438",
            Self::AddressFamilyNotSupported => "440",
            Self::WrongCredentials => "441",
            Self::UnsupportedTransportProtocol => "442",
            Self::PeerAddressFamilyMismatch => "443",
            Self::ConnectionAlreadyExists => "446",
            Self::ConnectionTimeoutOrFailure => "447",
            Self::AllocationQuotaReached => "486",
            Self::InsufficientCapacity => "508",
        }
    }

    /// The reason phrase, for the human who reads a client's log.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::TryAlternate => "Try Alternate",
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthenticated",
            Self::Forbidden => "Forbidden",
            Self::MobilityForbidden => "Mobility Forbidden",
            Self::UnknownAttribute => "Unknown Attribute",
            Self::AllocationMismatch => "Allocation Mismatch",
            Self::StaleNonce => "Stale Nonce",
            Self::AddressFamilyNotSupported => "Address Family not Supported",
            Self::WrongCredentials => "Wrong Credentials",
            Self::UnsupportedTransportProtocol => "Unsupported Transport Protocol",
            Self::PeerAddressFamilyMismatch => "Peer Address Family Mismatch",
            Self::ConnectionAlreadyExists => "Connection Already Exists",
            Self::ConnectionTimeoutOrFailure => "Connection Timeout or Failure",
            Self::AllocationQuotaReached => "Allocation Quota Reached",
            Self::InsufficientCapacity => "Insufficient Capacity",
        }
    }
}

/// Types of attributes. RFC 8489 §18.3, RFC 8656 §18, RFC 5780 §7.
pub mod attribute {
    /// RFC 8489 §14.1.
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    /// RFC 5780 §7.2.
    pub const CHANGE_REQUEST: u16 = 0x0003;
    /// RFC 8489 §14.3.
    pub const USERNAME: u16 = 0x0006;
    /// RFC 8489 §14.5.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// RFC 8489 §14.8.
    pub const ERROR_CODE: u16 = 0x0009;
    /// RFC 8489 §14.13.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    /// RFC 8656 §18.1.
    pub const CHANNEL_NUMBER: u16 = 0x000c;
    /// RFC 8656 §18.2.
    pub const LIFETIME: u16 = 0x000d;
    /// RFC 8656 §18.3.
    pub const XOR_PEER_ADDRESS: u16 = 0x0012;
    /// RFC 8656 §18.4.
    pub const DATA: u16 = 0x0013;
    /// RFC 8489 §14.9.
    pub const REALM: u16 = 0x0014;
    /// RFC 8489 §14.10.
    pub const NONCE: u16 = 0x0015;
    /// RFC 8656 §18.5.
    pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    /// RFC 8656 §18.6.
    pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    /// RFC 8656 §18.7.
    pub const EVEN_PORT: u16 = 0x0018;
    /// RFC 8656 §18.8.
    pub const REQUESTED_TRANSPORT: u16 = 0x0019;
    /// RFC 8489 §14.6.
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    /// RFC 8489 §14.12.
    pub const PASSWORD_ALGORITHM: u16 = 0x001d;
    /// RFC 8489 §14.4.
    pub const USERHASH: u16 = 0x001e;
    /// RFC 8489 §14.2.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// RFC 8656 §18.9.
    pub const DONT_FRAGMENT: u16 = 0x001a;
    /// RFC 8656 §18.10.
    pub const RESERVATION_TOKEN: u16 = 0x0022;
    /// RFC 6062 §6.2.1.
    pub const CONNECTION_ID: u16 = 0x002a;
    /// RFC 8489 §14.11.
    pub const PASSWORD_ALGORITHMS: u16 = 0x8002;
    /// RFC 5780 §7.6.
    pub const PADDING: u16 = 0x0026;
    /// RFC 5780 §7.5.
    pub const RESPONSE_PORT: u16 = 0x0027;
    /// RFC 8656 §18.11.
    pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
    /// RFC 8656 §18.12.
    pub const ADDRESS_ERROR_CODE: u16 = 0x8001;
    /// RFC 8489 §14.16.
    pub const ALTERNATE_DOMAIN: u16 = 0x8003;
    /// RFC 8656 §18.13.
    pub const ICMP: u16 = 0x8004;
    /// RFC 8489 §14.14.
    pub const SOFTWARE: u16 = 0x8022;
    /// RFC 8489 §14.15.
    pub const ALTERNATE_SERVER: u16 = 0x8023;
    /// RFC 8489 §14.7.
    pub const FINGERPRINT: u16 = 0x8028;
    /// RFC 8016 §3.3.
    pub const MOBILITY_TICKET: u16 = 0x8030;
    /// RFC 5780 §7.3.
    pub const RESPONSE_ORIGIN: u16 = 0x802b;
    /// RFC 5780 §7.4.
    pub const OTHER_ADDRESS: u16 = 0x802c;

    /// Whether a receiver that doesn't know this type must refuse the message. RFC 8489 §14.
    #[must_use]
    pub const fn is_comprehension_required(kind: u16) -> bool {
        kind < 0x8000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_all_is_the_order_of_declaration() {
        assert!(Method::ALL.iter().enumerate().all(|(place, method)| *method as usize == place));
        assert!(ErrorCode::ALL.iter().enumerate().all(|(place, code)| *code as usize == place));
    }

    #[test]
    fn a_code_is_the_same_in_digits() {
        for code in ErrorCode::ALL {
            assert_eq!(code.digits(), code.number().to_string());
        }
    }
}
