//! ChannelData: four bytes before the data instead of 36. RFC 8656 §12.4.

use super::Malformed;

/// The number of a channel: 0x4000 to 0x7FFF.
///
/// RFC 8656 §12 has clients choose up to 0x4FFF. Those of RFC 5766 choose up to 0x7FFF, and nothing
/// else begins so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The channel with this number; nothing outside the range.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            0x4000..=0x7fff => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// A ChannelData message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel.
    pub channel: ChannelNumber,
    /// The data; borrows from the input.
    pub data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// The length of the header: number and length of the data, 2 bytes each.
    pub const HEADER_BYTES: usize = 4;

    /// Reads a ChannelData message.
    ///
    /// `bytes` is one whole UDP payload: number (2 bytes, big endian), length (2 bytes), then
    /// `length` bytes of data. Up to 3 bytes of padding may follow and are ignored. The data
    /// borrows from `bytes`.
    ///
    /// # Errors
    /// [`Malformed::Short`] if fewer than 4 + length bytes are present; [`Malformed::Channel`]
    /// outside 0x4000-0x7FFF; [`Malformed::Trailing`] if more than padding follows.
    ///
    /// RFC 8656 §12.4.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let Some((&[n0, n1, l0, l1], rest)) = bytes.split_first_chunk() else {
            return Err(Malformed::Short);
        };
        let number = u16::from_be_bytes([n0, n1]);
        let channel = ChannelNumber::new(number).ok_or(Malformed::Channel)?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let (data, padding) = rest.split_at_checked(length).ok_or(Malformed::Short)?;
        if padding.len() > 3 {
            return Err(Malformed::Trailing);
        }
        Ok(Self { channel, data })
    }

    /// The header of a ChannelData message with `length` bytes of data.
    #[must_use]
    pub fn header(channel: ChannelNumber, length: u16) -> [u8; 4] {
        let ([n0, n1], [l0, l1]) = (channel.0.to_be_bytes(), length.to_be_bytes());
        [n0, n1, l0, l1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_optional_and_ignored() {
        for padding in 0..=3 {
            let mut bytes = vec![0x40, 0x01, 0, 1, b'x'];
            bytes.resize(5 + padding, 0xff);
            let data = ChannelData::parse(&bytes).unwrap();
            assert_eq!((data.channel.number(), data.data), (0x4001, &b"x"[..]));
        }
        assert_eq!(ChannelData::parse(&[0x40, 0, 0, 0, 1, 2, 3, 4]), Err(Malformed::Trailing));
    }

    #[test]
    fn what_is_announced_must_be_there() {
        for short in [&[][..], &[0x40], &[0x40, 0, 0], &[0x40, 0, 0, 2, 1]] {
            assert_eq!(ChannelData::parse(short), Err(Malformed::Short));
        }
    }

    #[test]
    fn channels_are_0x4000_to_0x7fff() {
        for (number, channel) in
            [(0x3fff_u16, false), (0x4000, true), (0x7fff, true), (0x8000, false)]
        {
            let [high, low] = number.to_be_bytes();
            assert_eq!(ChannelData::parse(&[high, low, 0, 0]).is_ok(), channel, "{number:#x}");
        }
    }
}
