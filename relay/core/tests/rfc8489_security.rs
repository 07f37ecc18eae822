//! What RFC 8489 added to who is believed: SHA-256, password algorithms, USERHASH, the nonce
//! cookie, and protection against bidding down.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use heliograph_base::{Credentials, Secret, UnixTime};
use relay_core::wire::{
    Class, Key, Message, Method, PasswordAlgorithm, TransactionId, Writer, attribute, user_hash,
};
use relay_core::{ListenerId, Transport};
use script::*;
use sha2::{Digest, Sha256};

const TRANSPORT: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
const LIST: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
const SHA256: &[u8] = &[0, 2, 0, 0];
const MD5: &[u8] = &[0, 1, 0, 0];

/// How a request is signed.
#[derive(Clone, Copy)]
enum Signature {
    Sha1,
    Sha256,
    /// With MESSAGE-INTEGRITY-SHA256 cut to so many bytes.
    Cut(usize),
}

/// A request of a client that knows RFC 8489.
#[derive(Clone, Copy)]
struct Modern<'a> {
    client: Client,
    key: PasswordAlgorithm,
    algorithm: Option<&'a [u8]>,
    algorithms: Option<&'a [u8]>,
    is_hashed: bool,
    signature: Signature,
}

/// As a client of RFC 8489 does it that picks the first algorithm of the list.
fn modern(client: Client) -> Modern<'static> {
    Modern {
        client,
        key: PasswordAlgorithm::Sha256,
        algorithm: Some(SHA256),
        algorithms: Some(LIST),
        is_hashed: false,
        signature: Signature::Sha256,
    }
}

impl Modern<'_> {
    fn key(&self) -> Key {
        Key::long_term_by(self.key, self.client.user, REALM, self.client.password)
    }

    fn request(&self, nonce: &str, method: Method, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut buffer = [0; 600];
        let id = TransactionId([method.number() as u8; 12]);
        let mut writer = Writer::new(&mut buffer, Class::Request, method, id);
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
        if self.is_hashed {
            writer.attribute(attribute::USERHASH, &user_hash(self.client.user, REALM));
        } else {
            writer.attribute(attribute::USERNAME, self.client.user.as_bytes());
        }
        writer.attribute(attribute::REALM, REALM.as_bytes());
        writer.attribute(attribute::NONCE, nonce.as_bytes());
        let named = [
            (attribute::PASSWORD_ALGORITHMS, self.algorithms),
            (attribute::PASSWORD_ALGORITHM, self.algorithm),
        ];
        for (kind, value) in named {
            if let Some(value) = value {
                writer.attribute(kind, value);
            }
        }
        match self.signature {
            Signature::Sha1 => writer.integrity(&self.key()),
            Signature::Sha256 => writer.integrity_sha256(&self.key()),
            Signature::Cut(length) => {
                writer.attribute(attribute::MESSAGE_INTEGRITY_SHA256, &vec![0; length]);
                let mut bytes = writer.finish().to_vec();
                let at = bytes.len() - length;
                let text = format!("{}:{REALM}:{}", self.client.user, self.client.password);
                let mac = hmac_sha256(&Sha256::digest(text), &bytes[..at - 4]);
                bytes[at..].copy_from_slice(&mac[..length]);
                return bytes;
            }
        }
        writer.finish().to_vec()
    }

    /// Asks, and gives the code of the answer (0: success) and which MACs it has.
    fn ask(&self, relay: &mut Script, method: Method, more: &[(u16, &[u8])]) -> (u16, Macs) {
        let nonce = relay.nonce(self.client);
        let request = self.request(&nonce, method, more);
        let answer = relay.from_client(self.client, &request).expect_to_client(self.client);
        let message = Message::parse(&answer).unwrap();
        let value =
            |wanted| message.attributes().find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
        let code = value(attribute::ERROR_CODE)
            .map_or(0, |value| u16::from(value[2]) * 100 + u16::from(value[3]));
        for never in [attribute::USERNAME, attribute::USERHASH] {
            assert_eq!(value(never), None);
        }
        if message.has_integrity() {
            assert!(message.is_signed_with(&self.key()));
            assert_eq!(value(attribute::NONCE), None);
        }
        (code, macs(&answer))
    }

    fn allocate(&self, relay: &mut Script) -> (u16, Macs) {
        self.ask(relay, Method::Allocate, &[TRANSPORT])
    }
}

/// HMAC as RFC 2104 spells it out.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(block, key)| *block ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// Which MACs a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Macs {
    None,
    Sha1,
    Sha256,
}

fn macs(bytes: &[u8]) -> Macs {
    // Counted apart from `Message`, which hides them.
    let (mut sha1, mut sha256, mut at) = (0, 0, 20);
    while at < bytes.len() {
        match u16::from_be_bytes([bytes[at], bytes[at + 1]]) {
            attribute::MESSAGE_INTEGRITY => sha1 += 1,
            attribute::MESSAGE_INTEGRITY_SHA256 => sha256 += 1,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        at += 4 + length.next_multiple_of(4);
    }
    match (sha1, sha256) {
        (0, 0) => Macs::None,
        (1, 0) => Macs::Sha1,
        (0, 1) => Macs::Sha256,
        both => panic!("{both:?}"),
    }
}

fn challenge(relay: &mut Script, client: Client) -> Vec<u8> {
    let mut buffer = [0; 100];
    let id = TransactionId([1; 12]);
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::Allocate, id);
    writer.attribute(TRANSPORT.0, TRANSPORT.1);
    relay.from_client(client, writer.finish()).expect_to_client(client)
}

fn value(bytes: &[u8], wanted: u16) -> Option<Vec<u8>> {
    let message = Message::parse(bytes).unwrap();
    let mut attributes = message.attributes();
    attributes.find(|(kind, _)| *kind == wanted).map(|(_, value)| value.to_vec())
}

/// RFC 8489 §9.2.4: "If the server adds a PASSWORD-ALGORITHMS attribute, it MUST set the STUN
/// Security Feature "Password algorithms" bit to 1. The server MAY support anonymous username, in
/// which case it MUST set the STUN Security Feature "Username anonymity" bit set to 1."
#[test]
fn a_challenge_lists_the_algorithms_and_its_nonce_says_so() {
    let mut relay = Script::new();
    let bytes = challenge(&mut relay, ALICE);
    assert_eq!(value(&bytes, attribute::PASSWORD_ALGORITHMS).unwrap(), LIST);
    let nonce = String::from_utf8(value(&bytes, attribute::NONCE).unwrap()).unwrap();
    assert!(nonce.starts_with("obMatJos2wAAA"), "{nonce}");
    assert_eq!(macs(&bytes), Macs::None);
}

/// RFC 8489 §9.2.5: "If [...] the STUN Security Feature "Username anonymity" bit set to 1, then the
/// USERHASH attribute MUST be used": which a relay that knows no names beforehand can't resolve.
#[test]
fn a_relay_with_time_limited_credentials_does_not_ask_for_userhash() {
    let mut relay = Script::with(|config| {
        config.secrets = vec![Secret::from_text("north").unwrap()];
    });
    let bytes = challenge(&mut relay, ALICE);
    let nonce = String::from_utf8(value(&bytes, attribute::NONCE).unwrap()).unwrap();
    assert!(nonce.starts_with("obMatJos2gAAA"), "{nonce}");
}

/// RFC 8489 §9.2.4: "Any response generated by the server MUST include the
/// MESSAGE-INTEGRITY-SHA256 attribute".
#[test]
fn a_client_with_sha256_is_served_and_answered_with_sha256() {
    let mut relay = Script::new();
    let alice = modern(ALICE);
    assert_eq!(alice.allocate(&mut relay), (0, Macs::Sha256));
    assert_eq!(alice.ask(&mut relay, Method::Refresh, &[]), (0, Macs::Sha256));
    assert_eq!(alice.ask(&mut relay, Method::CreatePermission, &[]), (400, Macs::Sha256));
    let wrong = modern(Client { password: "wrong", ..ALICE });
    assert_eq!(wrong.ask(&mut relay, Method::Refresh, &[]), (401, Macs::None));
}

/// RFC 8489 §10: who came by TLS with MESSAGE-INTEGRITY-SHA256 is told the name in the other
/// server's certificate, nobody else.
#[test]
fn a_tls_client_with_sha256_is_told_the_name_of_the_alternate_server() {
    let mut relay = Script::with(|config| {
        config.listeners.push(listener(LISTENER, Transport::Tls));
        config.alternate_servers = vec![v4([192, 0, 2, 7], 5349)];
        config.alternate_domain = Some("other.example.org".to_owned());
    });
    let by_tls = Client { listener: ListenerId(2), ..ALICE };
    let old =
        Modern { key: PasswordAlgorithm::Md5, algorithm: None, algorithms: None, ..modern(ALICE) };
    let told = |relay: &mut Script, who: Modern<'_>| {
        relay.forget_nonce(who.client);
        let nonce = relay.nonce(who.client);
        let request = who.request(&nonce, Method::Allocate, &[TRANSPORT]);
        let answer = relay.from_client(who.client, &request).expect_to_client(who.client);
        assert_eq!(value(&answer, attribute::ERROR_CODE).unwrap()[2..4], [3, 0]);
        value(&answer, attribute::ALTERNATE_DOMAIN)
    };
    assert_eq!(told(&mut relay, modern(by_tls)).as_deref(), Some(&b"other.example.org"[..]));
    assert_eq!(told(&mut relay, modern(ALICE)), None);
    let sha1 = Modern { client: by_tls, signature: Signature::Sha1, ..old };
    assert_eq!(told(&mut relay, sha1), None);
}

/// RFC 8489 §9.2.4: "unless the request was processed as though PASSWORD-ALGORITHM was MD5 (because
/// the request contained neither PASSWORD-ALGORITHMS nor PASSWORD-ALGORITHM). In that case, the
/// MESSAGE-INTEGRITY attribute MUST be used instead".
#[test]
fn a_client_that_names_no_algorithm_is_one_of_md5_and_answered_with_sha1() {
    let old = Modern {
        key: PasswordAlgorithm::Md5,
        algorithm: None,
        algorithms: None,
        signature: Signature::Sha1,
        ..modern(ALICE)
    };
    assert_eq!(old.allocate(&mut Script::new()), (0, Macs::Sha1));
    let odd = Modern { signature: Signature::Sha256, ..old };
    assert_eq!(odd.allocate(&mut Script::new()), (0, Macs::Sha1));
    let wrong = Modern { key: PasswordAlgorithm::Sha256, ..old };
    assert_eq!(wrong.allocate(&mut Script::new()), (401, Macs::None));
}

#[test]
fn a_client_may_choose_md5_from_the_list() {
    let md5 = Modern { key: PasswordAlgorithm::Md5, algorithm: Some(MD5), ..modern(ALICE) };
    assert_eq!(md5.allocate(&mut Script::new()), (0, Macs::Sha256));
    let contradicting = Modern { key: PasswordAlgorithm::Sha256, ..md5 };
    assert_eq!(contradicting.allocate(&mut Script::new()), (401, Macs::None));
}

/// RFC 8489 §9.2.4: "unless (1) PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS are both present, (2)
/// PASSWORD-ALGORITHMS matches the value sent in the response that sent this NONCE, and (3)
/// PASSWORD-ALGORITHM matches one of the entries in PASSWORD-ALGORITHMS, the server MUST generate
/// an error response with an error code of 400 (Bad Request)".
#[test]
fn a_list_that_was_bid_down_on_the_way_is_refused() {
    let md5_only = Modern {
        key: PasswordAlgorithm::Md5,
        algorithm: Some(MD5),
        algorithms: Some(MD5),
        ..modern(ALICE)
    };
    let swapped: &[u8] = &[0, 1, 0, 0, 0, 2, 0, 0];
    let wrong = [
        md5_only,
        Modern { algorithms: Some(swapped), ..modern(ALICE) },
        Modern { algorithms: Some(&[]), ..modern(ALICE) },
        Modern { algorithm: None, ..modern(ALICE) },
        Modern { algorithms: None, ..modern(ALICE) },
        Modern { algorithm: Some(&[0, 3, 0, 0]), ..modern(ALICE) },
        Modern { algorithm: Some(&[0, 2]), ..modern(ALICE) },
    ];
    for (place, request) in wrong.into_iter().enumerate() {
        let outcome = request.allocate(&mut Script::new());
        assert_eq!(outcome, (400, Macs::None), "{place}");
    }
}

/// RFC 8489 §9.2.3.2: "When the client sends a subsequent request, it MUST include either the
/// USERNAME or USERHASH, REALM, NONCE, and PASSWORD-ALGORITHM attributes".
#[test]
fn a_subsequent_request_may_leave_out_the_list() {
    let mut relay = Script::new();
    let alice = modern(ALICE);
    assert_eq!(alice.allocate(&mut relay), (0, Macs::Sha256));
    let short = Modern { algorithms: None, ..alice };
    assert_eq!(short.ask(&mut relay, Method::Refresh, &[]), (0, Macs::Sha256));
}

#[test]
fn one_user_can_change_the_algorithm_on_the_way() {
    let mut relay = Script::new();
    let alice = modern(ALICE);
    assert_eq!(alice.allocate(&mut relay), (0, Macs::Sha256));
    relay.try_refresh(ALICE, 600).expect_success();
    relay.try_permit(ALICE, &[BOB]).expect_success();
    assert_eq!(alice.ask(&mut relay, Method::Refresh, &[]), (0, Macs::Sha256));
}

/// RFC 8489 §14.6: "The value MUST be the full 32 bytes unless the STUN Usage explicitly specifies
/// that truncation is allowed", and TURN doesn't.
#[test]
fn a_truncated_mac_is_not_believed() {
    for length in [16, 20, 24, 28] {
        let cut = Modern { signature: Signature::Cut(length), ..modern(ALICE) };
        assert_eq!(cut.allocate(&mut Script::new()), (401, Macs::None), "{length}");
    }
    let whole = Modern { signature: Signature::Cut(32), ..modern(ALICE) };
    assert_eq!(whole.allocate(&mut Script::new()), (0, Macs::Sha256));
}

#[test]
fn a_static_user_may_hide_behind_its_userhash() {
    let mut relay = Script::new();
    let hidden = Modern { is_hashed: true, ..modern(ALICE) };
    assert_eq!(hidden.allocate(&mut relay), (0, Macs::Sha256));
    assert_eq!(hidden.ask(&mut relay, Method::Refresh, &[]), (0, Macs::Sha256));
    relay.try_refresh(ALICE, 600).expect_success();
    let other = modern(CAROL_AT_ALICE);
    let other = Modern { is_hashed: true, ..other };
    assert_eq!(other.ask(&mut relay, Method::Refresh, &[]), (441, Macs::Sha256));
    let nobody = modern(Client { user: "nobody", ..ALICE });
    let nobody = Modern { is_hashed: true, ..nobody };
    assert_eq!(nobody.ask(&mut relay, Method::Refresh, &[]), (401, Macs::None));
}

#[test]
fn a_time_limited_name_must_be_said_once_before_its_hash_is_known() {
    let secret = Secret::from_text("north").unwrap();
    let minted = Credentials::mint(&secret, UnixTime::from_seconds(START + 60), "demo:p1:7");
    let alice = Client { user: minted.username.leak(), password: minted.password.leak(), ..ALICE };
    let mut relay = Script::with(|config| config.secrets = vec![secret]);
    let hidden = Modern { is_hashed: true, ..modern(alice) };
    assert_eq!(hidden.allocate(&mut relay), (401, Macs::None));
    assert_eq!(modern(alice).allocate(&mut relay), (0, Macs::Sha256));
    assert_eq!(hidden.ask(&mut relay, Method::Refresh, &[]), (0, Macs::Sha256));
}

/// RFC 8489 §9.2.4: 438 "MUST include NONCE, REALM, and PASSWORD-ALGORITHMS attributes".
#[test]
fn a_nonce_that_is_ours_but_for_its_features_is_stale() {
    let mut relay = Script::new();
    let good = relay.nonce(ALICE);
    for features in ["AAAA", "gAAA", "QAAA", "AAAD", "////"] {
        let nonce = format!("obMatJos2{features}{}", &good[13..]);
        let request = modern(ALICE).request(&nonce, Method::Allocate, &[TRANSPORT]);
        let answer = relay.from_client(ALICE, &request).expect_to_client(ALICE);
        assert_eq!(value(&answer, attribute::ERROR_CODE).unwrap()[2..4], [4, 38]);
        assert_eq!(value(&answer, attribute::PASSWORD_ALGORITHMS).unwrap(), LIST);
        assert_eq!(value(&answer, attribute::REALM).unwrap(), REALM.as_bytes());
        assert!(value(&answer, attribute::NONCE).is_some());
    }
}

/// Two keys: one for new nonces, and the one before.
#[test]
fn a_nonce_outlives_the_change_of_keys_but_not_its_lifetime() {
    let mut relay = Script::new();
    let lifetime = 600;
    for made in [0, 1, 599, 600, 1000, 1199, 65_000, 70_000, 131_071] {
        relay.at(made.s());
        relay.forget_nonce(ALICE);
        let nonce = relay.nonce(ALICE);
        let refresh = modern(ALICE).request(&nonce, Method::Refresh, &[]);
        let code = |relay: &mut Script| {
            let answer = relay.from_client(ALICE, &refresh).expect_to_client(ALICE);
            value(&answer, attribute::ERROR_CODE).unwrap()[3]
        };
        assert_eq!(code(&mut relay), 37, "{made}");
        assert_eq!(code(relay.at((made + lifetime - 1).s())), 37, "{made}");
        assert_eq!(code(relay.at((made + lifetime).s())), 38, "{made}");
        if made == 131_071 {
            // 2^16 seconds later the time in the nonce reads as now.
            assert_eq!(code(relay.at((made + 65_536).s())), 38);
        }
        if made > 1000 {
            continue;
        }
        relay = Script::new();
    }
}

#[test]
fn a_missing_name_realm_or_nonce_is_400_without_a_challenge() {
    for missing in [attribute::USERNAME, attribute::REALM, attribute::NONCE] {
        let mut relay = Script::new();
        let nonce = relay.nonce(ALICE);
        let mut buffer = [0; 300];
        let id = TransactionId([1; 12]);
        let mut writer = Writer::new(&mut buffer, Class::Request, Method::Allocate, id);
        let all = [
            (attribute::USERNAME, ALICE.user),
            (attribute::REALM, REALM),
            (attribute::NONCE, &nonce),
        ];
        for (kind, text) in all {
            if kind != missing {
                writer.attribute(kind, text.as_bytes());
            }
        }
        writer.integrity_sha256(&modern(ALICE).key());
        let answer = relay.from_client(ALICE, writer.finish()).expect_to_client(ALICE);
        assert_eq!(value(&answer, attribute::ERROR_CODE).unwrap()[2..4], [4, 0]);
        for kind in [attribute::REALM, attribute::NONCE, attribute::USERNAME] {
            assert_eq!(value(&answer, kind), None);
        }
    }
}
