//! Credentials that are taken back before they expire.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use heliograph_base::{Credentials, Secret, UnixTime};
use relay_core::{Effect, Revoke};
use script::*;

fn secret() -> Secret {
    Secret::from_text("north").unwrap()
}

/// Somebody with minted credentials, at an address of their own.
fn seat(number: u16, expires: u64, name: &str) -> Client {
    let minted = Credentials::mint(&secret(), UnixTime::from_seconds(expires), name);
    let (user, password) = (minted.username.leak(), minted.password.leak());
    Client { user, password, ..Client::of([5, 5, 5, 5], number, "") }
}

fn relay() -> Script {
    Script::with(|config| config.secrets = vec![secret()])
}

fn revoke(relay: &mut Script, revoke: &Revoke) -> usize {
    let now = relay.now();
    relay.server.handle_revoke(now, revoke)
}

fn of_seat(room: &str, peer: &str, seat: u64) -> Revoke {
    Revoke::Seat { room: room.into(), peer: peer.into(), seat }
}

fn of_peer(room: &str, peer: &str) -> Revoke {
    Revoke::Peer { room: room.into(), peer: peer.into() }
}

#[test]
fn a_revoked_seat_loses_its_allocations_at_once_and_others_keep_theirs() {
    let one = seat(1, START + 600, "demo:p1:7");
    let two = seat(2, START + 600, "demo:p1:7");
    let other = seat(3, START + 600, "demo:p1:8");
    let mut relay = relay().allocate(one).allocate(two).allocate(other).permit(one, BOB);
    let ports = [relay.port_of(one), relay.port_of(two)];
    relay.effects();
    assert_eq!(revoke(&mut relay, &of_seat("demo", "p1", 7)), 2);
    let closed = relay.effects();
    assert_eq!(closed.len(), 2);
    assert!(ports.iter().all(|port| closed.contains(&Effect::ClosePort(*port))));
    assert!(matches!(relay.from_peer(BOB, one, b"hi"), Outcome::Drop(_)));
    relay.try_refresh(one, 600).expect_error(437);
    relay.try_refresh(other, 600).expect_success();
    assert_eq!(relay.server.counters().allocations_revoked, 2);
    assert_eq!(relay.server.counters().allocations_live(), 1);
}

/// RFC 8656 §19: 403 is "valid but cannot be performed due to administrative or similar
/// restrictions".
#[test]
fn a_revoked_seat_gets_no_new_allocation_while_its_credentials_are_good() {
    let late = 3 * 24 * 3600;
    let one = seat(1, START + late, "demo:p1:7");
    let mut relay = relay().allocate(one);
    revoke(&mut relay, &of_seat("demo", "p1", 7));
    assert!(relay.try_allocate(one, vec![]).expect_error(403).is_signed());
    relay.at((late - 1).s());
    relay.try_allocate(one, vec![]).expect_error(403);
    relay.try_allocate(seat(2, START + late, "demo:p1:8"), vec![]).expect_success();
    relay.at(late.s());
    relay.try_allocate(one, vec![]).expect_error(401);
}

#[test]
fn a_seat_that_never_allocated_can_be_revoked() {
    let mut relay = relay();
    assert_eq!(revoke(&mut relay, &of_seat("demo", "p1", 7)), 0);
    relay.try_allocate(seat(1, START + 24 * 3600, "demo:p1:7"), vec![]).expect_error(403);
    let later = seat(2, START + 24 * 3600 + 1, "demo:p1:7");
    relay.try_allocate(later, vec![]).expect_success();
}

#[test]
fn a_revoked_peer_may_come_back_with_new_credentials() {
    let first = seat(1, START + 600, "demo:p1:7");
    let second = seat(2, START + 601, "demo:p1:8");
    let other = seat(3, START + 600, "demo:p2:9");
    let mut relay = relay().allocate(first).allocate(second).allocate(other);
    assert_eq!(revoke(&mut relay, &of_peer("demo", "p1")), 2);
    relay.try_allocate(first, vec![]).expect_error(403);
    relay.try_allocate(second, vec![]).expect_error(403);
    relay.try_allocate(seat(4, START + 602, "demo:p1:10"), vec![]).expect_success();
    relay.try_refresh(other, 600).expect_success();
}

#[test]
fn a_room_or_a_holder_or_a_username_can_be_revoked() {
    let cases = [
        ("demo:p1:7", Revoke::Room("demo".into()), true),
        ("demo2:p1:7", Revoke::Room("demo".into()), false),
        ("bot", Revoke::Room("bot".into()), false),
        ("bot", Revoke::User("bot".into()), true),
        ("bot", Revoke::User(format!("{}:bot", START + 600)), true),
        ("bot2", Revoke::User("bot".into()), false),
        ("demo:p1:7", of_peer("demo", "p2"), false),
        ("demo:p1:7", of_seat("demo", "p1", 8), false),
    ];
    for (name, of, is_meant) in cases {
        let client = seat(1, START + 600, name);
        let mut relay = relay().allocate(client);
        assert_eq!(revoke(&mut relay, &of), usize::from(is_meant), "{name} {of:?}");
        assert_eq!(relay.server.counters().allocations_live(), u64::from(!is_meant));
        if is_meant {
            relay.try_allocate(client, vec![]).expect_error(403);
        }
    }
}

#[test]
fn a_revoked_static_user_stays_out() {
    let mut relay = Script::new().allocate(ALICE);
    let dave = Client { address: EVE, ..ALICE };
    assert_eq!(revoke(&mut relay, &Revoke::User("alice".into())), 1);
    relay.at((1_000_000).s()).try_allocate(dave, vec![]).expect_error(403);
    relay.try_allocate(CAROL, vec![]).expect_success();
}

#[test]
fn a_static_user_whose_name_looks_like_a_seat_is_none() {
    let mut relay = Script::with(|config| config.users[0].name = "demo:p1:7".into());
    let alice = Client { user: "demo:p1:7", ..ALICE };
    relay.try_allocate(alice, vec![]).expect_success();
    assert_eq!(revoke(&mut relay, &Revoke::Room("demo".into())), 0);
}

#[test]
fn what_is_revoked_is_remembered_in_fixed_memory() {
    let mut relay = Script::with(|config| {
        config.secrets = vec![secret()];
        config.revocations_max = 100;
    });
    for number in 0..1000 {
        relay.at(number.s());
        revoke(&mut relay, &of_seat("demo", "p1", number));
    }
    let late = START + 20_000;
    relay.try_allocate(seat(1, late, "demo:p1:999"), vec![]).expect_error(403);
    relay.try_allocate(seat(2, late, "demo:p1:900"), vec![]).expect_error(403);
    relay.try_allocate(seat(3, late, "demo:p1:899"), vec![]).expect_success();
}
