//! How single values of the settings are written.

use crate::cli::{CidrText, IceServerText, NetworkText, PortRange, SecretText, UserText};
use heliograph_base::Secret;
use relay_core::{Cidr, StaticUser};
use signal_server::{IceServer, Network};
use std::str::FromStr;

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
