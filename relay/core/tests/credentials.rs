//! Who is believed: passwords, nonces, time-limited credentials, attributes that aren't protected.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use heliograph_base::{Credentials, Secret, UnixTime};
use relay_core::wire::{Class, Key, Method, TransactionId, Writer, attribute};
use relay_core::{Config, ListenerId};
use script::*;
use stun_rs::attributes::turn::{LifeTime, RequestedTrasport};
use stun_rs::methods::{ALLOCATE, REFRESH};
use stun_rs::protocols::UDP;

fn secret(text: &str) -> Secret {
    Secret::from_text(text).unwrap()
}

/// A client with time-limited credentials; leaks its name, as tests may.
fn holder(address: Client, secret: &Secret, expires: u64, name: &str) -> Client {
    let minted = Credentials::mint(secret, UnixTime::from_seconds(expires), name);
    Client { user: minted.username.leak(), password: minted.password.leak(), ..address }
}

fn with_secrets(secrets: &[&Secret]) -> impl FnOnce(&mut Config) {
    let secrets = secrets.iter().map(|secret| (*secret).clone()).collect();
    |config| config.secrets = secrets
}

#[test]
fn a_wrong_password_gets_401() {
    let mut relay = Script::new();
    let forger = Client { password: "wrong", ..ALICE };
    assert!(!relay.try_allocate(forger, vec![]).expect_error(401).is_signed());
    let stranger = Client { user: "nobody", ..ALICE };
    relay.try_allocate(stranger, vec![]).expect_error(401);
    relay.try_allocate(ALICE, vec![]).expect_success();
    relay.try_refresh(forger, 0).expect_error(401);
    relay.try_refresh(ALICE, 600).expect_success();
}

#[test]
fn a_changed_byte_breaks_message_integrity() {
    let mut relay = Script::new().allocate(ALICE);
    let mut request = relay.signed_raw(ALICE, Method::Refresh, &[(attribute::LIFETIME, &[0; 4])]);
    request[19] ^= 1;
    relay.from_client(ALICE, &request).expect_answer(ALICE).expect_error(401);
    assert_eq!(relay.server.counters().allocations_live(), 1);
}

#[test]
fn a_nonce_is_good_for_ten_minutes() {
    let mut relay = Script::new();
    let nonce = relay.nonce(ALICE);
    let request = |relay: &mut Script| {
        let lifetime = vec![LifeTime::from(600).into()];
        let bytes = relay.signed_with_nonce(ALICE, REFRESH, lifetime, &nonce);
        relay.from_client(ALICE, &bytes).expect_answer(ALICE)
    };
    request(relay.at(599.s())).expect_error(437);
    let stale = request(relay.at(600.s())).expect_error(438);
    assert!(!stale.is_signed());
    assert_ne!(stale.nonce(), nonce);
    let bytes = relay.signed_with_nonce(ALICE, REFRESH, vec![], &stale.nonce());
    relay.from_client(ALICE, &bytes).expect_answer(ALICE).expect_error(437);
}

#[test]
fn a_nonce_of_another_client_listener_or_relay_is_stale() {
    let mut relay = Script::new();
    let nonce = relay.nonce(ALICE);
    let mut address = ALICE.address;
    address.set_port(1);
    let others = [
        Client { address, ..ALICE },
        Client { address: EVE, ..ALICE },
        Client { listener: ListenerId(1), ..ALICE },
    ];
    for other in others {
        let bytes = relay.signed_with_nonce(other, ALLOCATE, vec![], &nonce);
        relay.from_client(other, &bytes).expect_answer(other).expect_error(438);
    }
    let mut second = Script::worker(config(), 1, ports());
    let bytes = second.signed_with_nonce(ALICE, ALLOCATE, vec![], &nonce);
    second.from_client(ALICE, &bytes).expect_answer(ALICE).expect_error(438);
}

#[test]
fn a_made_up_nonce_is_stale() {
    let mut relay = Script::new();
    let good = relay.nonce(ALICE);
    let mut changed = good.clone().into_bytes();
    changed[15] = if changed[15] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    for nonce in ["x", "AAAAAAAAAAAAAAAA", "________________", &changed, &good[..12]] {
        let bytes = relay.signed_with_nonce(ALICE, ALLOCATE, vec![], nonce);
        relay.from_client(ALICE, &bytes).expect_answer(ALICE).expect_error(438);
    }
}

#[test]
fn minted_credentials_work_until_they_expire() {
    let secret = secret("north");
    let alice = holder(ALICE, &secret, START + 60, "demo:p1:7");
    let carol = holder(CAROL, &secret, START + 60, "demo:p2:8");
    let mut relay = Script::with(with_secrets(&[&secret]));
    relay.at(59.s()).try_allocate(alice, vec![]).expect_success();
    relay.at(60.s()).try_allocate(carol, vec![]).expect_error(401);
}

#[test]
fn expired_credentials_end_an_allocation_but_do_not_prolong_it() {
    let secret = secret("north");
    let alice = holder(ALICE, &secret, START + 60, "alice");
    let mut relay = Script::with(with_secrets(&[&secret]));
    relay.try_allocate(alice, vec![]).expect_success();
    relay.at(59.s()).try_refresh(alice, 600).expect_success();
    let refused = relay.at(60.s()).try_refresh(alice, 600).expect_error(401);
    assert!(!refused.nonce().is_empty());
    relay.try_permit(alice, &[BOB]).expect_success();
    relay.try_refresh(alice, 0).expect_success();
}

#[test]
fn every_secret_of_a_rotation_works() {
    let (new, old, gone) = (secret("new"), secret("old"), secret("gone"));
    let mut relay = Script::with(with_secrets(&[&new, &old]));
    for (place, (secret, works)) in [(&new, true), (&old, true), (&gone, false)].iter().enumerate()
    {
        let address = Client { address: v4([1, 1, 1, 1], 1 + place as u16), ..ALICE };
        let client = holder(address, secret, START + 60, "alice");
        let answer = relay.try_allocate(client, vec![]);
        if *works {
            answer.expect_success()
        } else {
            answer.expect_error(401)
        };
    }
}

#[test]
fn a_holder_s_quota_spans_its_renewed_credentials() {
    let secret = secret("north");
    let first = holder(ALICE, &secret, START + 60, "demo:p1:7");
    let renewed = holder(CAROL, &secret, START + 120, "demo:p1:7");
    let other = holder(CAROL, &secret, START + 120, "demo:p2:8");
    let mut relay = Script::with(|config| {
        config.secrets = vec![secret];
        config.allocations_per_holder_max = 1;
    });
    relay.try_allocate(first, vec![]).expect_success();
    relay.try_allocate(renewed, vec![]).expect_error(486);
    relay.try_allocate(other, vec![]).expect_success();
}

#[test]
fn without_credentials_configured_nobody_allocates() {
    let mut relay = Script::with(|config| config.users.clear());
    relay.try_allocate(ALICE, vec![]).expect_error(401);
    let anybody = holder(ALICE, &secret("guess"), START + 60, "alice");
    relay.try_allocate(anybody, vec![]).expect_error(401);
}

#[test]
fn an_attribute_after_message_integrity_does_nothing() {
    let mut relay = Script::new().allocate(ALICE);
    let mut request = relay.signed_raw(ALICE, Method::Refresh, &[]);
    request.extend([0, 0x0d, 0, 4, 0, 0, 0, 0]); // LIFETIME 0
    let length = u16::try_from(request.len() - 20).unwrap();
    request[2..4].copy_from_slice(&length.to_be_bytes());
    let answer = relay.from_client(ALICE, &request).expect_answer(ALICE).expect_success();
    assert_eq!(answer.lifetime_s(), 600);
    assert_eq!(relay.server.counters().allocations_live(), 1);
}

#[test]
fn of_duplicates_the_first_counts() {
    let mut relay = Script::new().allocate(ALICE);
    let lifetimes: [(u16, &[u8]); 2] =
        [(attribute::LIFETIME, &[0, 0, 4, 0]), (attribute::LIFETIME, &[0; 4])];
    let answer = relay.ask_raw(ALICE, Method::Refresh, &lifetimes).expect_success();
    assert_eq!(answer.lifetime_s(), 1024);
}

#[test]
fn unknown_attributes_that_must_be_understood_are_named() {
    let mut relay = Script::new();
    let attributes: [(u16, &[u8]); 4] =
        [(0x7abc, b"x"), (0x7abd, b""), (0x8abc, b"optional"), (0x7abc, b"x")];
    let answer = relay.ask_raw(ALICE, Method::Allocate, &attributes).expect_error(420);
    assert_eq!(answer.unknown(), [0x7abc, 0x7abd]);
    assert!(answer.is_signed());

    let mut buffer = [0; 100];
    let id = TransactionId([1; 12]);
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::Binding, id);
    writer.attribute(0x0003, &[0, 0, 0, 2]); // CHANGE-REQUEST
    let answer = relay.from_client(ALICE, writer.finish()).expect_answer(ALICE);
    assert_eq!(answer.expect_error(420).unknown(), [0x0003]);
}

#[test]
fn an_answer_has_a_fingerprint_if_the_request_had_one() {
    let mut relay = Script::new();
    let fingerprint =
        |answer: &Answer| answer.message.get::<stun_rs::attributes::stun::Fingerprint>().is_some();
    let with = relay.ask(ALICE, ALLOCATE, vec![RequestedTrasport::new(UDP).into()]);
    assert!(fingerprint(&with.expect_success()));
    let without = relay.ask_raw(ALICE, Method::Refresh, &[]).expect_success();
    assert!(!fingerprint(&without));
}

#[test]
fn a_malformed_lifetime_is_400() {
    let mut relay = Script::new().allocate(ALICE);
    let short: [(u16, &[u8]); 1] = [(attribute::LIFETIME, &[0; 3])];
    relay.ask_raw(ALICE, Method::Refresh, &short).expect_error(400);
}

#[test]
fn the_longest_realm_fits_every_answer() {
    let mut relay = Script::with(|config| config.realm = "r".repeat(Config::REALM_BYTES_MAX));
    let mut buffer = [0; 100];
    let id = TransactionId([1; 12]);
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::Allocate, id);
    writer.fingerprint();
    relay.from_client(ALICE, writer.finish()).expect_answer(ALICE).expect_error(401);
}

#[test]
fn a_key_does_not_print_itself() {
    assert_eq!(format!("{:?}", Key::long_term("a", "b", "c")), "Key { .. }");
}
