//! How single values of the settings are written.

use heliograph_base::Secret;
use relay_core::{Cidr, StaticUser};
use serde::Deserialize;
use serde::de::{SeqAccess, Visitor};
use signal_server::{IceServer, Network};
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A value that is written as one text, on the command line as in the file.
#[derive(Clone)]
pub(crate) struct Text<T>(pub(crate) T);

pub(crate) type CidrText = Text<Cidr>;
pub(crate) type IceServerText = Text<IceServer>;
pub(crate) type NetworkText = Text<Network>;
pub(crate) type PortRange = Text<RangeInclusive<u16>>;
pub(crate) type SecretText = Text<Secret>;
pub(crate) type UserText = Text<StaticUser>;

impl<T: fmt::Debug> fmt::Debug for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de, T> Deserialize<'de> for Text<T>
where
    Self: FromStr<Err: fmt::Display>,
{
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Reads one text or an array of texts.
pub(crate) fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    struct OneOrMany<T>(PhantomData<T>);

    impl<'de, T: FromStr<Err: fmt::Display>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or an array of texts")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            text.parse().map(|value| vec![value]).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Vec<T>, A::Error> {
            let mut values = Vec::new();
            while let Some(text) = texts.next_element::<String>()? {
                values.push(text.parse().map_err(serde::de::Error::custom)?);
            }
            Ok(values)
        }
    }

    deserializer.deserialize_any(OneOrMany(PhantomData))
}

impl FromStr for CidrText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<Cidr>().map(Self).map_err(|error| error.to_string())
    }
}

impl FromStr for NetworkText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<Network>().map(Self).map_err(|error| error.to_string())
    }
}

impl FromStr for IceServerText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let scheme = |url: &str| url.split(':').next().map(str::to_owned).unwrap_or_default();
        let is_stun = |url: &str| matches!(&*scheme(url), "stun" | "stuns");
        let is_turn = |url: &str| matches!(&*scheme(url), "turn" | "turns");
        let owned = |text: &str| Some(text.to_owned());
        let (url, username, credential) = match words[..] {
            [url] if is_stun(url) => (url, None, None),
            [url, username, credential] if is_turn(url) => {
                (url, owned(username), owned(credential))
            }
            // The text isn't repeated: it may hold a password.
            _ => {
                return Err("an ICE server is written stun:HOST:PORT, or as \
                             turn:HOST:PORT USERNAME PASSWORD"
                    .to_owned());
            }
        };
        Ok(Self(IceServer { urls: vec![url.to_owned()], username, credential }))
    }
}

impl FromStr for SecretText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Secret::from_text(text).map(Self).map_err(|error| error.to_string())
    }
}

impl FromStr for UserText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                Ok(Self(StaticUser { name: name.to_owned(), password: password.to_owned() }))
            }
            // The text isn't repeated: it may hold a password.
            _ => Err("a user is written NAME:PASSWORD".to_owned()),
        }
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text.split_once('-').and_then(|(first, last)| {
            Some(first.trim().parse::<u16>().ok()?..=last.trim().parse::<u16>().ok()?)
        });
        match range {
            Some(range) if *range.start() > 0 && !range.is_empty() => Ok(Self(range)),
            _ => Err("a port range is written FIRST-LAST, such as 49152-65535".to_owned()),
        }
    }
}
