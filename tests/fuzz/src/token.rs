//! The tokens that let a client in: nobody gets in without a signature, nor for more than it says.

use data_encoding::BASE64URL_NOPAD as BASE64;
use heliograph_base::{Now, Time, UnixTime};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use signal_core::{Grant, RoomId, Token};
use signal_server::{KeySource, Keys, TokenConfig, check_token};
use std::sync::Arc;

const SECRET: &[u8] = b"a secret of more than 32 bytes, for tests";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const UNIX: u64 = 1_700_000_000;
const NOW: Now = Now { time: Time::START, unix: UnixTime { seconds: UNIX } };
const ROOM: &str = "game-7";

/// Shows the bytes as a token, as the claims or the header of one that is signed well, and as the
/// keys that a service publishes.
///
/// # Panics
/// If one is taken that shouldn't be.
pub fn token(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match kind % 4 {
        0 => {
            let taken = check(&text);
            assert!(taken.is_none() || is_signed(&text), "{text}");
        }
        1 => {
            if let Some(grant) = check(&signed(HEADER, &text)) {
                check_claims(&text, &grant);
            }
        }
        2 => {
            let taken = check(&signed(&text, &format!(r#"{{"exp":{}}}"#, UNIX + 60)));
            let header: Option<Value> = serde_json::from_str(&text).ok();
            let is_known = header.is_some_and(|header| {
                header["alg"] == "HS256" && header.get("crit").is_none_or(Value::is_null)
            });
            assert!(taken.is_none() || is_known, "{text}");
        }
        _ => {
            // A service may publish anything, but no secrets.
            let keys = Keys::from_jwks(rest, false).ok();
            let token = Token::new(&signed(HEADER, &format!(r#"{{"exp":{}}}"#, UNIX + 60)));
            if let Some(keys) = keys {
                let (config, room) = (config(), RoomId::parse(ROOM).expect("it is one"));
                assert!(check_token(&config, &keys, NOW, &room, &token).is_none(), "{text}");
            }
        }
    }
}

fn config() -> TokenConfig {
    TokenConfig::new(KeySource::Fixed(Arc::new(keys())))
}

fn keys() -> Keys {
    Keys::from_secret(SECRET).expect("it is long enough")
}

fn check(token: &str) -> Option<Grant> {
    let room = RoomId::parse(ROOM).expect("it is one");
    check_token(&config(), &keys(), NOW, &room, &Token::new(token))
}

fn mac(message: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any length is a key");
    mac.update(message.as_bytes());
    BASE64.encode(&mac.finalize().into_bytes())
}

fn signed(header: &str, claims: &str) -> String {
    let message =
        format!("{}.{}", BASE64.encode(header.as_bytes()), BASE64.encode(claims.as_bytes()));
    let signature = mac(&message);
    format!("{message}.{signature}")
}

fn is_signed(token: &str) -> bool {
    token.rsplit_once('.').is_some_and(|(message, signature)| mac(message) == signature)
}

/// What was granted is what the claims say, read another way.
fn check_claims(text: &str, grant: &Grant) {
    let claims: Value = serde_json::from_str(text).expect("it was taken");
    let number = |name: &str| claims.get(name).map(|value| value.as_f64().expect("a number"));
    let now = UNIX as f64;
    assert!(number("exp").expect("it must be there") + 30.0 > now, "{text}");
    assert!(number("nbf").is_none_or(|nbf| nbf <= now + 30.0), "{text}");
    assert!(claims.get("aud").is_none(), "there is no audience here: {text}");
    assert!(grant.expires.is_some_and(|expires| expires > NOW.time), "{text}");
    let claimed = |name: &str| claims.get(name).map(|value| value.as_str().expect("a text"));
    assert_eq!(grant.peer.as_ref().map(|peer| peer.as_str()), claimed("peer"), "{text}");
    assert_eq!(grant.role.as_ref().map(|role| role.as_str()), claimed("role"), "{text}");
    assert_eq!(grant.subject.as_deref(), claimed("sub"), "{text}");
    let is_for = |room: &Value| {
        let room = room.as_str().expect("a text");
        room == ROOM || room.strip_suffix('*').is_some_and(|prefix| ROOM.starts_with(prefix))
    };
    match claims.get("room") {
        None => {}
        Some(Value::Array(rooms)) => assert!(rooms.iter().any(is_for), "{text}"),
        Some(room) => assert!(is_for(room), "{text}"),
    }
}
