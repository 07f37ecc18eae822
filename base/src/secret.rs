//! Secrets that don't print themselves.

use std::fmt;

/// The shared secret of which time-limited TURN credentials are made.
///
/// Any bytes but none. `Debug` and logs show only its length, never its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    bytes: Box<[u8]>,
}

impl Secret {
    /// Below this many bytes a secret can be guessed by somebody who has seen one credential.
    pub const BYTES_ADVISED: usize = 16;

    /// Takes the text of a flag or a file as it stands.
    ///
    /// # Errors
    /// [`EmptySecret`] if there is no text.
    pub fn from_text(text: &str) -> Result<Self, EmptySecret> {
        if text.is_empty() {
            return Err(EmptySecret);
        }
        Ok(Self { bytes: text.as_bytes().into() })
    }

    /// Makes a secret of random bytes. Its text form is their lower-case hex, 64 digits.
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        let text = data_encoding::HEXLOWER.encode(&random);
        Self { bytes: text.into_bytes().into() }
    }

    /// The secret itself, for making a key of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.bytes.len())
    }
}

/// A secret without a single byte was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret is empty")]
pub struct EmptySecret;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = Secret::from_text("hunter2").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(7 bytes)");
    }

    #[test]
    fn an_empty_secret_is_refused() {
        assert_eq!(Secret::from_text(""), Err(EmptySecret));
    }
}
