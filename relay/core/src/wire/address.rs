//! XOR-MAPPED-ADDRESS and its siblings. RFC 8489 §14.2.

use super::{MAGIC_COOKIE, Malformed, TransactionId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FAMILY_IPV4: u8 = 1;
const FAMILY_IPV6: u8 = 2;
const PORT_MASK: u16 = (MAGIC_COOKIE >> 16) as u16;

/// Reads the value of an XOR address attribute: zero, family, port, then 4 or 16 bytes of address.
///
/// # Errors
/// [`Malformed::Address`] if the family is unknown or the length isn't that of the family.
pub fn decode_xor_address(
    value: &[u8],
    transaction: &TransactionId,
) -> Result<SocketAddr, Malformed> {
    let [_, family, port_high, port_low, address @ ..] = value else {
        return Err(Malformed::Address);
    };
    let port = u16::from_be_bytes([*port_high, *port_low]) ^ PORT_MASK;
    let ip = match *family {
        FAMILY_IPV4 => {
            let bytes: [u8; 4] = address.try_into().map_err(|_| Malformed::Address)?;
            IpAddr::V4(Ipv4Addr::from_bits(u32::from_be_bytes(bytes) ^ MAGIC_COOKIE))
        }
        FAMILY_IPV6 => {
            let bytes: [u8; 16] = address.try_into().map_err(|_| Malformed::Address)?;
            IpAddr::V6(Ipv6Addr::from_bits(u128::from_be_bytes(bytes) ^ ipv6_mask(transaction)))
        }
        _ => return Err(Malformed::Address),
    };
    Ok(SocketAddr::new(ip, port))
}

/// Writes the value of an XOR address attribute to the front of `value`, and gives its length: 8 or
/// 20 bytes.
///
/// # Panics
/// If `value` is shorter than that.
pub fn encode_xor_address(
    address: SocketAddr,
    transaction: &TransactionId,
    value: &mut [u8],
) -> usize {
    value[0] = 0;
    value[2..4].copy_from_slice(&(address.port() ^ PORT_MASK).to_be_bytes());
    match address.ip() {
        IpAddr::V4(v4) => {
            value[1] = FAMILY_IPV4;
            value[4..8].copy_from_slice(&(v4.to_bits() ^ MAGIC_COOKIE).to_be_bytes());
            8
        }
        IpAddr::V6(v6) => {
            value[1] = FAMILY_IPV6;
            let masked = v6.to_bits() ^ ipv6_mask(transaction);
            value[4..20].copy_from_slice(&masked.to_be_bytes());
            20
        }
    }
}

fn ipv6_mask(transaction: &TransactionId) -> u128 {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(&transaction.0);
    u128::from_be_bytes(mask)
}
