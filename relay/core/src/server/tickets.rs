//! Mobility tickets: which allocation of which worker a client may take along. RFC 8016 §3.

use super::derive;
use crate::WorkerId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The length of a sealed ticket.
pub(super) const TICKET_BYTES: usize = TAG_BYTES + PLAIN_BYTES;

const TAG_BYTES: usize = 16;

/// Worker (1 byte), allocation (8), number (4), zeros.
const PLAIN_BYTES: usize = 16;

/// What a sealed ticket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// The worker that has the allocation.
    pub(super) worker: WorkerId,
    pub(super) allocation: MobileId,
    /// How many tickets of this allocation came before.
    pub(super) number: u32,
}

/// The number of an allocation with tickets; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct MobileId(pub(super) u64);

/// Seals and opens tickets, with a key that all workers of a relay share.
///
/// RFC 8016 §5 wants a ticket authenticated and encrypted, so that nothing can be gleaned from it.
/// The tag is a MAC over what the ticket says, and the key stream that hides it a MAC over the tag
/// (the construction of SIV, RFC 5297), so it takes no nonce: no two tickets say the same.
#[derive(Clone, Debug)]
pub(crate) struct Sealer {
    tags: Hmac<Sha256>,
    streams: Hmac<Sha256>,
}

impl Sealer {
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        let keyed = |purpose| {
            Hmac::new_from_slice(&derive(seed, purpose)).expect("HMAC takes keys of any length")
        };
        Self { tags: keyed("ticket tags"), streams: keyed("ticket streams") }
    }

    pub(super) fn seal(&self, ticket: Ticket) -> [u8; TICKET_BYTES] {
        let mut plain = [0; PLAIN_BYTES];
        plain[0] = ticket.worker.0;
        plain[1..9].copy_from_slice(&ticket.allocation.0.to_be_bytes());
        plain[9..13].copy_from_slice(&ticket.number.to_be_bytes());
        let mut sealed = [0; TICKET_BYTES];
        let (tag, hidden) = sealed.split_at_mut(TAG_BYTES);
        tag.copy_from_slice(&mac(&self.tags, &plain).finalize().into_bytes()[..TAG_BYTES]);
        hidden.copy_from_slice(&self.hide(tag, plain));
        sealed
    }

    /// What the ticket says, if it was sealed here. The tag is compared in constant time.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Ticket> {
        let (tag, hidden) = sealed.split_at_checked(TAG_BYTES)?;
        let plain = self.hide(tag, hidden.try_into().ok()?);
        mac(&self.tags, &plain).verify_truncated_left(tag).ok()?;
        let [worker, a0, a1, a2, a3, a4, a5, a6, a7, n0, n1, n2, n3, ..] = plain;
        Some(Ticket {
            worker: WorkerId(worker),
            allocation: MobileId(u64::from_be_bytes([a0, a1, a2, a3, a4, a5, a6, a7])),
            number: u32::from_be_bytes([n0, n1, n2, n3]),
        })
    }

    /// Hides what is plain, and shows what is hidden.
    fn hide(&self, tag: &[u8], mut bytes: [u8; PLAIN_BYTES]) -> [u8; PLAIN_BYTES] {
        let stream = mac(&self.streams, tag).finalize().into_bytes();
        for (byte, mask) in bytes.iter_mut().zip(stream) {
            *byte ^= mask;
        }
        bytes
    }
}

fn mac(key: &Hmac<Sha256>, bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    mac.update(bytes);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKET: Ticket =
        Ticket { worker: WorkerId(3), allocation: MobileId(0x0102_0304_0506_0708), number: 9 };

    #[test]
    fn a_ticket_says_what_was_sealed() {
        let sealer = Sealer::new(&[1; 32]);
        assert_eq!(sealer.open(&sealer.seal(TICKET)), Some(TICKET));
    }

    #[test]
    fn a_changed_bit_or_another_key_opens_nothing() {
        let sealer = Sealer::new(&[1; 32]);
        let sealed = sealer.seal(TICKET);
        for bit in 0..8 * TICKET_BYTES {
            let mut changed = sealed;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(sealer.open(&changed), None, "bit {bit}");
        }
        for length in 0..TICKET_BYTES {
            assert_eq!(sealer.open(&sealed[..length]), None, "{length} bytes");
        }
        assert_eq!(Sealer::new(&[2; 32]).open(&sealed), None);
    }

    #[test]
    fn two_tickets_of_one_allocation_have_nothing_in_common() {
        let sealer = Sealer::new(&[1; 32]);
        let (one, two) = (sealer.seal(TICKET), sealer.seal(Ticket { number: 10, ..TICKET }));
        let same = one.iter().zip(two).filter(|(a, b)| **a == *b).count();
        assert!(same < 4, "{same} bytes");
    }
}
