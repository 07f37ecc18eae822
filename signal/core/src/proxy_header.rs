//! The header by which a proxy says whose connection it passes on: the PROXY protocol, versions 1
//! (a line of text) and 2 (binary), without IO.
//!
//! The specification is HAProxy's `doc/proxy-protocol.txt`; sections named here are its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The client; nothing if the connection is the proxy's own, or its client has no IP address.
    pub source: Option<SocketAddr>,
    /// How many bytes the header has.
    pub bytes: usize,
}

/// Why bytes are no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadProxyHeader {
    /// They begin with something else.
    Missing,
    /// They begin as one, and break its rules.
    Malformed,
    /// It has more bytes than it may have.
    TooLong,
}

impl ProxyHeader {
    /// Reads the header at the beginning of what came; nothing if it isn't whole.
    ///
    /// No byte behind it is looked at. With fewer than `bytes_max` bytes the answer may be nothing,
    /// with as many it never is. A header of version 1 has at most 107 bytes in any case.
    ///
    /// # Errors
    /// As soon as it shows that no header will come of it.
    pub fn read(came: &[u8], bytes_max: usize) -> Result<Option<Self>, BadProxyHeader> {
        if agree(came, TEXT) {
            read_text(&came[..came.len().min(TEXT_BYTES_MAX)], bytes_max.min(TEXT_BYTES_MAX))
        } else if agree(came, SIGNATURE) {
            read_binary(came, bytes_max)
        } else {
            Err(BadProxyHeader::Missing)
        }
    }
}

/// What version 1 begins with (§2.1).
const TEXT: &[u8] = b"PROXY ";

/// "If the CRLF sequence is not found in the first 107 characters, the receiver should declare the
/// line invalid."
const TEXT_BYTES_MAX: usize = 107;

/// What version 2 begins with (§2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, and the length of what follows.
const HEAD_BYTES: usize = 16;

/// Two addresses and two ports.
const IPV4_BYTES: usize = 2 * (4 + 2);
const IPV6_BYTES: usize = 2 * (16 + 2);
const UNIX_BYTES: usize = 2 * 108;

/// Whether both begin alike, as far as both go.
fn agree(came: &[u8], expected: &[u8]) -> bool {
    came.iter().zip(expected).all(|(came, expected)| came == expected)
}

fn read_text(came: &[u8], bytes_max: usize) -> Result<Option<ProxyHeader>, BadProxyHeader> {
    let Some(end) = came.windows(2).position(|pair| pair == b"\r\n") else {
        return if came.len() < bytes_max { Ok(None) } else { Err(BadProxyHeader::TooLong) };
    };
    if end + 2 > bytes_max {
        return Err(BadProxyHeader::TooLong);
    }
    let line = str::from_utf8(&came[..end]).map_err(|_| BadProxyHeader::Malformed)?;
    let source = text_source(line).ok_or(BadProxyHeader::Malformed)?;
    Ok(Some(ProxyHeader { source, bytes: end + 2 }))
}

/// The source in a line of version 1; nothing if the line breaks the rules.
fn text_source(line: &str) -> Option<Option<SocketAddr>> {
    let words: Vec<&str> = line.split(' ').collect();
    let (source, source_port, port) = match words[..] {
        // "[...] the receiver must ignore anything presented before the CRLF".
        [_, "UNKNOWN", ..] => return Some(None),
        [_, "TCP4", source, target, source_port, port] => {
            target.parse::<Ipv4Addr>().ok()?;
            (IpAddr::V4(source.parse().ok()?), source_port, port)
        }
        [_, "TCP6", source, target, source_port, port] => {
            target.parse::<Ipv6Addr>().ok()?;
            (IpAddr::V6(source.parse().ok()?), source_port, port)
        }
        _ => return None,
    };
    text_port(port)?;
    Some(Some(SocketAddr::new(source, text_port(source_port)?)))
}

/// A decimal number without sign and leading zeros.
fn text_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|_| is_plain)?;
    (text == "0" || !text.starts_with('0')).then_some(port)
}

fn read_binary(came: &[u8], bytes_max: usize) -> Result<Option<ProxyHeader>, BadProxyHeader> {
    let Some(&head) = came.first_chunk::<HEAD_BYTES>() else {
        return if came.len() < bytes_max { Ok(None) } else { Err(BadProxyHeader::TooLong) };
    };
    let [.., command, family, high, low] = head;
    let rest_bytes = usize::from(u16::from_be_bytes([high, low]));
    let family = match command {
        // LOCAL: the addresses are to be ignored, their family too.
        0x20 => Family::None,
        0x21 => Family::of(family).ok_or(BadProxyHeader::Malformed)?,
        _ => return Err(BadProxyHeader::Malformed),
    };
    if rest_bytes < family.bytes() {
        return Err(BadProxyHeader::Malformed);
    }
    let bytes = HEAD_BYTES + rest_bytes;
    if bytes > bytes_max {
        return Err(BadProxyHeader::TooLong);
    }
    let rest = came.get(HEAD_BYTES..bytes);
    Ok(rest.map(|rest| ProxyHeader { source: family.source(rest), bytes }))
}

/// Whose addresses version 2 gives. What follows them (TLVs) is nobody's business.
#[derive(Clone, Copy, Debug)]
enum Family {
    Ipv4,
    Ipv6,
    Unix,
    None,
}

impl Family {
    /// The address family and the transport in one byte, in the combinations that there are.
    fn of(byte: u8) -> Option<Self> {
        match byte {
            0x11 => Some(Self::Ipv4),
            0x21 => Some(Self::Ipv6),
            0x31 | 0x32 => Some(Self::Unix),
            // Unspecified; and datagrams, which don't come by a stream: a receiver "automatically
            // falls back to the UNSPEC mode for the valid combinations [...] it does not support".
            0x00 | 0x12 | 0x22 => Some(Self::None),
            _ => None,
        }
    }

    /// How many bytes its addresses have.
    fn bytes(self) -> usize {
        match self {
            Self::Ipv4 => IPV4_BYTES,
            Self::Ipv6 => IPV6_BYTES,
            Self::Unix => UNIX_BYTES,
            Self::None => 0,
        }
    }

    /// The source in the addresses: both addresses come before both ports.
    fn source(self, addresses: &[u8]) -> Option<SocketAddr> {
        let (ip, ports) = match self {
            Self::Ipv4 => (IpAddr::from(*addresses.first_chunk::<4>()?), addresses.get(8..)?),
            Self::Ipv6 => (IpAddr::from(*addresses.first_chunk::<16>()?), addresses.get(32..)?),
            Self::Unix | Self::None => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(*ports.first_chunk()?)))
    }
}
