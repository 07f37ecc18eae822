//! What the packets carry, so that a lost, repeated, misled or damaged one is seen.
//!
//! Flow (4 bytes), sequence number (8), time sent in nanoseconds (8), then a pattern.

/// One direction of one client: see [`FlowId::up`] and [`FlowId::down`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowId(pub(crate) u32);

impl FlowId {
    /// From a client to its peer.
    pub(crate) fn up(client: usize) -> Self {
        Self(client as u32 * 2)
    }

    /// From a peer to its client.
    pub(crate) fn down(client: usize) -> Self {
        Self(client as u32 * 2 + 1)
    }

    pub(crate) fn client(self) -> usize {
        self.0 as usize / 2
    }

    pub(crate) fn is_up(self) -> bool {
        self.0.is_multiple_of(2)
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What each packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) flow: FlowId,
    pub(crate) number: u64,
    pub(crate) sent_ns: u64,
}

impl Stamp {
    pub(crate) const BYTES: usize = 20;

    /// Writes it to the front of a payload.
    pub(crate) fn write(self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&self.flow.0.to_be_bytes());
        payload[4..12].copy_from_slice(&self.number.to_be_bytes());
        payload[12..Self::BYTES].copy_from_slice(&self.sent_ns.to_be_bytes());
    }

    /// Reads it; nothing if the payload is too short.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (flow, rest) = payload.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let sent_ns = u64::from_be_bytes(*rest.first_chunk()?);
        let flow = FlowId(u32::from_be_bytes(*flow));
        Some(Self { flow, number: u64::from_be_bytes(*number), sent_ns })
    }
}

/// Fills what stands behind the stamp.
pub(crate) fn fill(payload: &mut [u8]) {
    for (place, byte) in payload.iter_mut().enumerate().skip(Stamp::BYTES) {
        *byte = pattern(place);
    }
}

fn pattern(place: usize) -> u8 {
    (place * 31 + 7) as u8
}

/// Which numbers of a flow have come, as far back as it matters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// One more than the highest.
    next: u64,
    /// Of the numbers below `next`, the highest in bit 0.
    bits: u64,
}

impl Seen {
    /// Takes note of a number; whether it is new. One that came more than 64 later than its
    /// followers counts as new.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        if number >= self.next {
            let shift = number - self.next + 1;
            self.bits = if shift < 64 { self.bits << shift | 1 } else { 1 };
            self.next = number + 1;
            return true;
        }
        let back = self.next - 1 - number;
        if back >= 64 {
            return true;
        }
        let is_new = self.bits >> back & 1 == 0;
        self.bits |= 1 << back;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_as_written() {
        let stamp = Stamp { flow: FlowId::down(7), number: 1 << 40, sent_ns: 5 };
        let mut payload = [0; 40];
        fill(&mut payload);
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&payload[..19]), None);
    }

    #[test]
    fn a_number_is_new_once() {
        let mut seen = Seen::default();
        for (number, is_new) in
            [(0, true), (0, false), (2, true), (1, true), (1, false), (2, false), (100, true)]
        {
            assert_eq!(seen.insert(number), is_new, "{number}");
        }
        assert!(seen.insert(99) && !seen.insert(99) && !seen.insert(100));
    }
}
