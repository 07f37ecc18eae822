//! What was sent through the relay, and whether what comes is that.

use crate::Dice;
use std::collections::HashMap;
use std::net::SocketAddr;

/// All that was ever sent. Each payload is another one.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    sent: HashMap<u64, Letter>,
    received: u64,
}

#[derive(Debug)]
struct Letter {
    /// How the sender is called where the letter arrives, if it knows that itself.
    from: Option<SocketAddr>,
    to: SocketAddr,
    came: u32,
}

impl Mail {
    /// A new payload from one address to another, as both read at the far end of the relay.
    pub(crate) fn write(&mut self, from: Option<SocketAddr>, to: SocketAddr) -> Vec<u8> {
        let number = self.sent.len() as u64 + 1;
        self.sent.insert(number, Letter { from, to, came: 0 });
        payload(number)
    }

    /// Something came: it was sent by the one whom it seems to be from, to this address, like this,
    /// and comes for the first time, unless the network doubles datagrams.
    pub(crate) fn read(
        &mut self,
        from: SocketAddr,
        to: Option<SocketAddr>,
        bytes: &[u8],
        doubles: bool,
    ) {
        let number = bytes.first_chunk().map(|number| u64::from_be_bytes(*number));
        let number = number.unwrap_or_else(|| panic!("nobody sent {bytes:?}"));
        let letter = self.sent.get_mut(&number);
        let letter = letter.unwrap_or_else(|| panic!("nobody sent {bytes:?}"));
        assert_eq!(bytes, payload(number), "changed on its way");
        assert_eq!(letter.from.unwrap_or(from), from, "by whom it was sent");
        assert!(to.is_none_or(|to| to == letter.to), "it was for {}, not {to:?}", letter.to);
        letter.came += 1;
        self.received += 1;
        assert!(letter.came == 1 || doubles, "it came {} times", letter.came);
    }

    /// How many came.
    pub(crate) const fn received(&self) -> u64 {
        self.received
    }
}

/// The number, and up to 64 bytes that follow from it.
fn payload(number: u64) -> Vec<u8> {
    let mut dice = Dice::new(number);
    let more = dice.below(64);
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((0..more).map(|_| dice.roll() as u8));
    bytes
}
