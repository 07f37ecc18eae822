//! What a token says, claim by claim, and with what it is signed.

#![expect(clippy::wildcard_enum_match_arm, reason = "pairs are of three kinds only")]

use super::super::{KeySource, Keys, Mint, MintKey, TokenConfig};
use super::{UNIX, at, denied, question};
use crate::auth::tokens::Tokens;
use crate::auth::{Admitted, Denied, Who};
use heliograph_base::{Clock, Now, UnixTime};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData as _,
    SignatureAlgorithm,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(super) const SECRET: &[u8] = b"a secret of more than 32 bytes, for tests";

/// A pair of keys and how tokens are signed with it.
pub(super) struct Pair {
    pub(super) algorithm: Algorithm,
    pub(super) private: EncodingKey,
    private_pem: String,
    public_pem: String,
    public_der: Vec<u8>,
}

impl Pair {
    pub(super) fn new(kind: &'static SignatureAlgorithm, algorithm: Algorithm) -> Self {
        let pair = KeyPair::generate_for(kind).unwrap();
        let (private_pem, public_pem) = (pair.serialize_pem(), pair.public_key_pem());
        let private = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(private_pem.as_bytes()),
            Algorithm::ES256 => EncodingKey::from_ec_pem(private_pem.as_bytes()),
            _ => EncodingKey::from_ed_pem(private_pem.as_bytes()),
        };
        let (private, public_der) = (private.unwrap(), pair.subject_public_key_info());
        Self { algorithm, private, private_pem, public_pem, public_der }
    }

    pub(super) fn ed25519() -> Self {
        Self::new(&PKCS_ED25519, Algorithm::EdDSA)
    }

    /// One of each kind.
    fn all() -> [Self; 3] {
        [
            Self::new(&PKCS_RSA_SHA256, Algorithm::RS256),
            Self::new(&PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
            Self::ed25519(),
        ]
    }

    fn keys(&self) -> Keys {
        Keys::from_pem(self.public_pem.as_bytes()).unwrap()
    }

    pub(super) fn jwk(&self, id: &str) -> Value {
        let text = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
        // A public key of these two kinds ends with its point.
        let end = |count: usize| &self.public_der[self.public_der.len() - count..];
        match self.algorithm {
            Algorithm::EdDSA => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(end(32)), "kid": id})
            }
            Algorithm::ES256 => {
                let (x, y) = end(64).split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y), "kid": id})
            }
            _ => {
                let mut jwk = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
                jwk.common.key_id = Some(id.to_owned());
                serde_json::to_value(jwk).unwrap()
            }
        }
    }

    pub(super) fn sign(&self, id: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = id.map(str::to_owned);
        encode(&header, claims, &self.private).unwrap()
    }
}

fn secret_keys() -> Keys {
    Keys::from_secret(SECRET).unwrap()
}

/// A token of these claims, which is good for ten minutes.
fn signed(claims: &Value) -> String {
    let mut all = json!({"exp": UNIX + 600});
    let (all_fields, fields) = (all.as_object_mut().unwrap(), claims.as_object().unwrap());
    all_fields.extend(fields.clone());
    encode(&Header::new(Algorithm::HS256), &all, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn config(keys: Keys) -> TokenConfig {
    TokenConfig::new(KeySource::Fixed(Arc::new(keys)))
}

fn check_with(config: TokenConfig, now: Now, room: &str, token: &str) -> Result<Admitted, Denied> {
    let tokens = Tokens::start(config, Clock::start());
    let question = question(room, Some(token));
    // There is nothing to wait for.
    futures_util::FutureExt::now_or_never(tokens.check(now, &question)).unwrap()
}

fn check(now: Now, room: &str, token: &str) -> Result<Admitted, Denied> {
    check_with(config(secret_keys()), now, room, token)
}

/// Expects that a token of these claims is no good, and why.
fn refused(claims: &Value, why: &str) {
    let (code, text) = denied(check(at(0), "demo", &signed(claims)));
    assert_eq!(code, "unauthorized", "{claims}");
    assert!(text.contains(why), "{claims}: {text}");
}

#[test]
fn a_token_is_good_with_the_key_that_signed_it_and_no_other() {
    let claims = json!({"exp": UNIX + 600, "sub": "ada"});
    for (pair, other) in Pair::all().iter().zip(&Pair::all()) {
        let token = pair.sign(None, &claims);
        let admitted = check_with(config(pair.keys()), at(0), "demo", &token).unwrap();
        assert_eq!(admitted.grant.subject.as_deref(), Some("ada"), "{:?}", pair.algorithm);
        let (_, text) = denied(check_with(config(other.keys()), at(0), "demo", &token));
        assert!(text.contains("signature"), "{:?}: {text}", pair.algorithm);

        let set =
            json!({"keys": [{"kty": "new"}, other.jwk("other"), pair.jwk("own")]}).to_string();
        let keys = || Keys::from_jwks(set.as_bytes(), false).unwrap();
        let named = pair.sign(Some("own"), &claims);
        assert!(check_with(config(keys()), at(0), "demo", &named).is_ok());
        assert!(check_with(config(keys()), at(0), "demo", &token).is_ok(), "all are tried");
        let misnamed = pair.sign(Some("other"), &claims);
        let (_, text) = denied(check_with(config(keys()), at(0), "demo", &misnamed));
        assert!(text.contains("signature"), "{text}");
        let unknown = pair.sign(Some("third"), &claims);
        let (_, text) = denied(check_with(config(keys()), at(0), "demo", &unknown));
        assert!(text.contains("unknown key"), "{text}");
    }
    let token = signed(&json!({}));
    assert!(check(at(0), "demo", &token).is_ok());
    let other = Keys::from_secret(&[7; 32]).unwrap();
    let (_, text) = denied(check_with(config(other), at(0), "demo", &token));
    assert!(text.contains("signature"), "{text}");
}

#[test]
fn a_public_key_is_no_secret() {
    let claims = json!({"exp": UNIX + 600});
    for pair in Pair::all() {
        // As who knows the public key might sign: with it as if it were a secret.
        for secret in [pair.public_pem.as_bytes(), pair.public_pem.trim().as_bytes()] {
            let key = EncodingKey::from_secret(secret);
            let token = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
            let (code, text) = denied(check_with(config(pair.keys()), at(0), "demo", &token));
            assert_eq!(code, "unauthorized");
            assert!(text.contains("algorithm"), "{text}");
            assert!(Keys::from_secret(secret).unwrap_err().to_string().contains("PEM"));
        }
    }
}

#[test]
fn a_token_without_a_signature_is_none() {
    let part = |value: Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let claims = part(json!({"exp": UNIX + 600}));
    for algorithm in ["none", "None", "HS1", "HS512", "RS256"] {
        let header = part(json!({"alg": algorithm, "typ": "JWT"}));
        for token in [format!("{header}.{claims}."), format!("{header}.{claims}")] {
            assert_eq!(denied(check(at(0), "demo", &token)).0, "unauthorized", "{algorithm}");
        }
    }
    for rubbish in ["x", "..", "a.b.c", "\u{e9}.\u{e9}.\u{e9}"] {
        let (_, text) = denied(check(at(0), "demo", rubbish));
        assert!(text.contains("no token"), "{rubbish}: {text}");
    }
}

#[test]
fn a_changed_token_is_none() {
    let token = signed(&json!({"room": "demo"}));
    let (head, signature) = token.rsplit_once('.').unwrap();
    let other = signed(&json!({"room": "other"}));
    let mixed = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
    assert!(denied(check(at(0), "other", &mixed)).1.contains("signature"));
    assert!(denied(check(at(0), "demo", &format!("{head}."))).1.contains("signature"));
}

#[test]
fn none_is_needed_is_not_how_it_is() {
    let tokens = Tokens::start(config(secret_keys()), Clock::start());
    let question = question("demo", None);
    let outcome = futures_util::FutureExt::now_or_never(tokens.check(at(0), &question)).unwrap();
    assert!(denied(outcome).1.contains("a token is needed"));
}

#[test]
fn it_expires_with_some_leeway() {
    let token = signed(&json!({}));
    let expires = |now| check(now, "demo", &token).unwrap().grant.expires;
    assert_eq!(expires(at(0)), Some(at(630).time));
    assert_eq!(expires(at(629)), Some(at(630).time));
    assert!(denied(check(at(630), "demo", &token)).1.contains("expired"));
    refused(&json!({"exp": null}), "wrong type");
    refused(&json!({"exp": "soon"}), "wrong type");
    refused(&json!({"exp": -1}), "expired");
    let far = signed(&json!({"exp": 1e300}));
    assert!(check(at(0), "demo", &far).unwrap().grant.expires.unwrap() > at(1 << 28).time);
    let key = EncodingKey::from_secret(SECRET);
    let never = encode(&Header::new(Algorithm::HS256), &json!({}), &key).unwrap();
    assert!(denied(check(at(0), "demo", &never)).1.contains("\"exp\""));
}

#[test]
fn it_is_not_good_before_its_time() {
    let token = signed(&json!({"nbf": UNIX as f64 + 100.5}));
    assert!(denied(check(at(70), "demo", &token)).1.contains("nbf"));
    assert!(check(at(71), "demo", &token).is_ok());
}

#[test]
fn it_is_of_a_known_issuer() {
    let config = || TokenConfig {
        issuers: vec!["https://a".to_owned(), "https://b".to_owned()],
        ..config(secret_keys())
    };
    let good = signed(&json!({"iss": "https://b"}));
    assert!(check_with(config(), at(0), "demo", &good).is_ok());
    for claims in [json!({"iss": "https://c"}), json!({})] {
        let outcome = check_with(config(), at(0), "demo", &signed(&claims));
        assert!(denied(outcome).1.contains("issuer"), "{claims}");
    }
    assert!(check(at(0), "demo", &good).is_ok(), "whoever has the key, if none is set");
}

#[test]
fn it_is_for_us() {
    let config = || TokenConfig { audiences: vec!["meet".to_owned()], ..config(secret_keys()) };
    for good in [json!({"aud": "meet"}), json!({"aud": ["x", "meet"]})] {
        assert!(check_with(config(), at(0), "demo", &signed(&good)).is_ok(), "{good}");
        refused(&good, "audience");
    }
    for bad in [json!({"aud": "x"}), json!({"aud": []}), json!({})] {
        let outcome = check_with(config(), at(0), "demo", &signed(&bad));
        assert!(denied(outcome).1.contains("audience"), "{bad}");
    }
}

#[test]
fn it_is_for_its_rooms() {
    let may = |claims: &Value, room: &str| {
        let outcome = check(at(0), room, &signed(claims));
        outcome.map(drop).map_err(|denied| denied.code.to_string())
    };
    let forbidden = Err("forbidden".to_owned());
    for (claims, good, bad) in [
        (json!({"room": "demo"}), "demo", "demo2"),
        (json!({"room": ["a", "demo"]}), "demo", "dem"),
        (json!({"room": "game-*"}), "game-7", "gam"),
        (json!({"room": ["a", "game-*"]}), "game-", "ga"),
        (json!({"room": "*"}), "demo", ""),
        (json!({}), "demo", ""),
        (json!({"room": "d"}), "d", "demo"),
        // A star stands for something only at the end.
        (json!({"room": ["d*o", "x"]}), "x", "demo"),
    ] {
        assert!(may(&claims, good).is_ok(), "{claims} {good}");
        if !bad.is_empty() {
            assert_eq!(may(&claims, bad), forbidden, "{claims} {bad}");
        }
    }
    assert_eq!(may(&json!({"room": []}), "demo"), forbidden);
    refused(&json!({"room": null}), "wrong type");
    refused(&json!({"room": 7}), "wrong type");
}

#[test]
fn it_says_who_its_holder_is() {
    let claims = json!({"peer": "ada-1", "role": "host", "sub": "user:7"});
    let admitted = check(at(0), "demo", &signed(&claims)).unwrap();
    assert_eq!(admitted.grant.peer.unwrap().as_str(), "ada-1");
    assert_eq!(admitted.grant.role.unwrap().as_str(), "host");
    let same = check(at(0), "demo", &signed(&json!({"sub": "user:7"}))).unwrap();
    assert_eq!(admitted.who, same.who, "one subject counts as one");
    let nobody = |room: &str| check(at(0), "demo", &signed(&json!({"room": room}))).unwrap();
    assert_eq!(nobody("demo").who, nobody("demo").who);
    assert_ne!(nobody("demo").who, nobody("*").who, "without, each token counts for itself");
    let token = signal_core::Token::new("user:7");
    assert_ne!(admitted.who, Who::of(None, Some(&token)), "no token is a subject");

    for (claims, why) in [
        (json!({"peer": "a b"}), "peer"),
        (json!({"peer": 7}), "wrong type"),
        (json!({"role": "x".repeat(33)}), "role"),
        (json!({"role": ""}), "role"),
        (json!({"sub": "x".repeat(257)}), "sub"),
    ] {
        refused(&claims, why);
    }
}

#[test]
fn a_token_has_a_size() {
    let most = config(secret_keys()).token_bytes_max;
    let token = signed(&json!({"room": "x".repeat(most)}));
    assert!(denied(check(at(0), "demo", &token)).1.contains("4096 bytes"));
}

#[test]
fn what_is_critical_and_not_understood_is_refused() {
    let mut header = Header::new(Algorithm::HS256);
    header.crit = Some(vec!["b64".to_owned()]);
    let key = EncodingKey::from_secret(SECRET);
    let token = encode(&header, &json!({"exp": UNIX + 600}), &key).unwrap();
    assert!(denied(check(at(0), "demo", &token)).1.contains("critical"));
}

#[test]
fn what_is_no_key_is_refused_with_a_hint() {
    let pair = Pair::ed25519();
    for (pem, hint) in [
        (&*pair.private_pem, "PUBLIC KEY"),
        ("-----BEGIN CERTIFICATE-----\n", "openssl x509"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "RSA, P-256 or Ed25519"),
    ] {
        let why = Keys::from_pem(pem.as_bytes()).unwrap_err().to_string();
        assert!(why.contains(hint), "{why}");
    }
    assert!(Keys::from_secret(&[7; 31]).unwrap_err().to_string().contains("32 bytes"));
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().public_key_pem();
    assert!(Keys::from_pem(p384.as_bytes()).unwrap_err().to_string().contains("P-256"));
    let octets =
        json!({"kty": "oct", "k": "YSBzZWNyZXQgb2YgbW9yZSB0aGFuIDMyIGJ5dGVzLCBmb3IgdGVzdHM"});
    let set = json!({"keys": [octets]}).to_string();
    assert!(Keys::from_jwks(set.as_bytes(), true).is_ok());
    let why = Keys::from_jwks(set.as_bytes(), false).unwrap_err().to_string();
    assert!(why.contains("no key"), "secrets aren't published: {why}");
    let mut foreign = pair.jwk("x");
    foreign["use"] = json!("enc");
    let set = json!({"keys": [foreign]}).to_string();
    assert!(Keys::from_jwks(set.as_bytes(), true).is_err());
    let mut foreign = pair.jwk("x");
    foreign["alg"] = json!("ES256");
    let set = json!({"keys": [foreign]}).to_string();
    assert!(Keys::from_jwks(set.as_bytes(), true).is_err());
    assert!(Keys::from_jwks(b"rubbish", true).unwrap_err().to_string().contains("JWK Set"));
}

#[test]
fn what_is_minted_is_good() {
    let mint = Mint {
        rooms: vec!["demo".to_owned(), "game-*".to_owned()],
        peer: Some("ada".to_owned()),
        role: Some("host".to_owned()),
        subject: Some("user:7".to_owned()),
        issuer: Some("https://a".to_owned()),
        audience: Some("meet".to_owned()),
        key_id: Some("1".to_owned()),
        ttl: Duration::from_secs(60),
    };
    let now = UnixTime::from_seconds(UNIX);
    let mut keys = vec![(MintKey::from_secret(SECRET).unwrap(), secret_keys())];
    keys.extend(
        Pair::all()
            .map(|pair| (MintKey::from_pem(pair.private_pem.as_bytes()).unwrap(), pair.keys())),
    );
    for (key, keys) in keys {
        let token = key.mint(now, &mint).unwrap();
        let config = TokenConfig {
            issuers: vec!["https://a".to_owned()],
            audiences: vec!["meet".to_owned()],
            ..config(keys)
        };
        let admitted = check_with(config.clone(), at(0), "game-7", &token).unwrap();
        let grant = admitted.grant;
        assert_eq!(grant.peer.unwrap().as_str(), "ada", "{key:?}");
        assert_eq!(
            (grant.role.unwrap().as_str(), grant.subject.as_deref()),
            ("host", Some("user:7"))
        );
        assert!(denied(check_with(config, at(90), "demo", &token)).1.contains("expired"));
    }
    let why = MintKey::from_pem(Pair::ed25519().public_pem.as_bytes()).unwrap_err().to_string();
    assert!(why.contains("PRIVATE KEY"), "{why}");
}
