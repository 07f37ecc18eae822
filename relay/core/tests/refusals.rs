//! What a relay remembers of a seat: what it has, and what it was refused.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use heliograph_base::{Credentials, SeatName, Secret, UnixTime};
use relay_core::{Config, RefusalInfo, RefusalReason, Revoke, SeatRecord};
use script::*;
use std::time::Duration;

fn secret() -> Secret {
    Secret::from_text("north").unwrap()
}

/// Somebody in a seat of the room `demo`, at an address of their own.
fn seat(number: u16, expires: u64) -> Client {
    let name = format!("demo:p{number}:{number}");
    let minted = Credentials::mint(&secret(), UnixTime::from_seconds(expires), name);
    let (user, password) = (minted.username.leak(), minted.password.leak());
    Client { user, password, ..Client::of([5, 5, 5, 5], number, "") }
}

fn relay() -> Script {
    relay_with(|_| {})
}

fn relay_with(change: impl FnOnce(&mut Config)) -> Script {
    Script::with(|config| {
        config.secrets = vec![secret()];
        change(config);
    })
}

fn record(relay: &Script, number: u16) -> SeatRecord {
    let peer = format!("p{number}");
    let seat = SeatName { room: "demo", peer: &peer, seat: number.into() };
    relay.server.seat_record(relay.now(), seat)
}

/// What the seat was refused: reason, count, age.
fn refused(relay: &Script, number: u16) -> Vec<(RefusalReason, u32, u64)> {
    let of = |info: RefusalInfo| (info.reason, info.count, info.age.as_secs());
    record(relay, number).refusals.into_iter().map(of).collect()
}

#[test]
fn expired_credentials_are_remembered_with_the_time_since_they_expired() {
    let mut relay = relay();
    let one = seat(1, START + 60);
    relay.at(900.s()).try_allocate(one, vec![]).expect_error(401);
    relay.at(903.s()).try_allocate(one, vec![]).expect_error(401);
    relay.at(910.s());
    let [info] = record(&relay, 1).refusals[..] else { panic!("one reason") };
    assert_eq!((info.reason, info.count), (RefusalReason::Expired, 2));
    assert_eq!((info.age, info.expired), (7.s(), Some(850.s())));
    assert_eq!(record(&relay, 2), SeatRecord::default());
}

#[test]
fn an_allocation_that_can_be_refreshed_no_more_is_refused_as_expired() {
    let one = seat(1, START + 60);
    let mut relay = relay().allocate(one);
    relay.at(61.s()).try_refresh(one, 600).expect_error(401);
    assert_eq!(refused(&relay, 1), [(RefusalReason::Expired, 1, 0)]);
    assert_eq!(record(&relay, 1).allocations, 1, "it lives to its end");
    // Who has another password is somebody else, whenever it was good.
    relay.try_refresh(Client { password: "wrong", ..one }, 600).expect_error(401);
    let both = [(RefusalReason::Expired, 1, 0), (RefusalReason::Unauthorized, 1, 0)];
    assert_eq!(refused(&relay, 1), both);
}

#[test]
fn who_only_says_that_it_is_the_seat_is_told_apart() {
    let mut relay = relay();
    for expires in [START - 1, START + 60] {
        let forger = Client { password: "wrong", ..seat(1, expires) };
        relay.try_allocate(forger, vec![]).expect_error(401);
    }
    assert_eq!(refused(&relay, 1), [(RefusalReason::Unauthorized, 2, 0)]);
}

#[test]
fn each_refusal_has_its_reason() {
    let one = seat(1, START + 600);
    let other = Client { address: v4([5, 5, 5, 5], 99), ..one };
    let mut relay = relay_with(|config| config.allocations_per_holder_max = 1).allocate(one);
    relay.try_allocate(other, vec![]).expect_error(486);
    relay.at(2.s());
    relay.try_permit(one, &[v4([192, 168, 0, 1], 9)]).expect_error(403);
    relay.try_permit(one, &[v6(7, 9)]).expect_error(443);
    let both = [
        (RefusalReason::Quota, 1, 2),
        (RefusalReason::ForbiddenPeer, 1, 0),
        (RefusalReason::Family, 1, 0),
    ];
    assert_eq!(refused(&relay, 1), both);
    let now = relay.now();
    relay.server.handle_revoke(now, &Revoke::Room("demo".to_owned()));
    relay.try_allocate(one, vec![]).expect_error(403);
    assert!(refused(&relay, 1).contains(&(RefusalReason::Revoked, 1, 0)));
    // What only shows that a client makes mistakes is no refusal of the seat.
    relay.try_refresh(seat(2, START + 600), 600).expect_error(437);
    assert_eq!(refused(&relay, 2), []);
}

#[test]
fn a_relay_without_ports_has_no_capacity() {
    let config = Config { secrets: vec![secret()], ..config() };
    let mut relay = Script::without_stock(config, 0, ports());
    relay.try_allocate(seat(1, START + 600), vec![]).expect_error(508);
    assert_eq!(refused(&relay, 1), [(RefusalReason::NoCapacity, 1, 0)]);
}

#[test]
fn live_allocations_are_shown_with_what_they_relayed() {
    let (one, other) = (seat(1, START + 6000), seat(2, START + 6000));
    let mut relay = relay().allocate(one);
    relay.at(10.s());
    let mut relay = relay.allocate(other).permit(one, BOB).permit(other, BOB);
    relay.send(one, BOB, b"four");
    relay.from_peer(BOB, one, b"back");
    relay.from_peer(BOB, one, b"!");
    relay.at(15.s());
    let of_one = record(&relay, 1);
    assert_eq!((of_one.allocations, of_one.age), (1, Some(15.s())));
    assert_eq!((of_one.from_client.packets, of_one.from_client.bytes), (1, 4));
    assert_eq!((of_one.to_client.packets, of_one.to_client.bytes), (2, 5));
    assert_eq!(record(&relay, 2).age, Some(5.s()));
    relay.at(601.s());
    assert_eq!(record(&relay, 1), SeatRecord::default(), "it has ended");
}

#[test]
fn what_workers_know_of_a_seat_is_added_up() {
    let refusal = |count, age: Duration| RefusalInfo {
        reason: RefusalReason::Quota,
        count,
        age,
        expired: None,
    };
    let of = |allocations, age: Option<Duration>, refusals| SeatRecord {
        allocations,
        age,
        refusals,
        ..SeatRecord::default()
    };
    let mut all = of(1, Some(3.s()), vec![refusal(2, 9.s())]);
    all.add(of(2, None, vec![refusal(u32::MAX, 4.s())]));
    all.add(of(0, Some(7.s()), vec![]));
    assert_eq!(all, of(3, Some(7.s()), vec![refusal(u32::MAX, 4.s())]));
}

#[test]
fn the_seat_that_was_refused_nothing_for_longest_is_forgotten() {
    let mut relay = relay_with(|config| {
        config.refused_seats_max = 4;
        config.unproven_seats_max = 4;
    });
    for second in 1..=5 {
        relay.at(u64::from(second).s());
        relay.try_allocate(seat(second, START), vec![]).expect_error(401);
    }
    // The first one again, instead of the second one.
    relay.at(6.s()).try_allocate(seat(1, START), vec![]).expect_error(401);
    let known: Vec<_> = (1..=5).filter(|seat| !refused(&relay, *seat).is_empty()).collect();
    assert_eq!(known, [1, 3, 4, 5]);
    // Whoever names other seats with wrong passwords makes nobody forgotten.
    for number in 10..60 {
        let forger = Client { password: "wrong", ..seat(number, START + 60) };
        relay.try_allocate(forger, vec![]).expect_error(401);
    }
    assert_eq!(refused(&relay, 3), [(RefusalReason::Expired, 1, 3)]);
}

#[test]
fn a_relay_may_remember_nothing() {
    let mut relay = relay_with(|config| {
        config.refused_seats_max = 0;
        config.unproven_seats_max = 0;
    });
    relay.try_allocate(seat(1, START), vec![]).expect_error(401);
    relay.try_allocate(Client { password: "wrong", ..seat(1, START) }, vec![]).expect_error(401);
    assert_eq!(refused(&relay, 1), []);
}
