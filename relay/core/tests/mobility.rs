//! Clients that change their address and keep their allocation. RFC 8016.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod script;

use relay_core::wire::{ErrorCode, Method, attribute};
use relay_core::{CHANNEL_LIFETIME, Reason, RelayedPorts, Transport};
use script::{
    ALICE, Answer, BOB, CAROL, Client, LISTENER, RELAY_IP, Script, Seconds, config, listener,
    ports, v4,
};
use std::sync::Arc;

const CHANNEL: u16 = 0x4000;
const UDP: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
const WANTED: (u16, &[u8]) = (attribute::MOBILITY_TICKET, &[]);

/// Alice in other networks.
const ALICE_MOVED: Client = Client { address: v4([2, 2, 2, 2], 2222), ..ALICE };
const ALICE_AGAIN: Client = Client { address: v4([4, 4, 4, 4], 4444), ..ALICE };
const CAROL_AT_MOVED: Client = Client { address: ALICE_MOVED.address, ..CAROL };

fn ticket(answer: &Answer) -> Vec<u8> {
    answer.value(attribute::MOBILITY_TICKET).unwrap().to_vec()
}

/// Alice with a ticket, and a channel to Bob.
fn mobile() -> (Script, Vec<u8>) {
    with_ticket(Script::new())
}

fn with_ticket(mut relay: Script) -> (Script, Vec<u8>) {
    let answer = relay.try_allocate_raw(ALICE, &[UDP, WANTED]).expect_success();
    let ticket = ticket(&answer);
    (relay.bind(ALICE, CHANNEL, BOB), ticket)
}

fn refresh(relay: &mut Script, client: Client, ticket: &[u8]) -> Answer {
    relay.ask_raw(client, Method::Refresh, &[(attribute::MOBILITY_TICKET, ticket)])
}

/// RFC 8016 §3.1: an empty MOBILITY-TICKET asks for a ticket, which comes with the answer.
#[test]
fn who_asks_for_a_ticket_gets_one_and_others_do_not() {
    let (mut relay, ticket) = mobile();
    assert_eq!(ticket.len(), 32);
    let answer = relay.try_allocate(CAROL, vec![]).expect_success();
    assert_eq!(answer.value(attribute::MOBILITY_TICKET), None);
}

/// RFC 8016 §3.1: a ticket with bytes in an Allocate is 400.
#[test]
fn an_allocate_with_a_filled_ticket_is_a_bad_request() {
    let mut relay = Script::new();
    let filled: (u16, &[u8]) = (attribute::MOBILITY_TICKET, &[7; 32]);
    relay.ask_raw(ALICE, Method::Allocate, &[UDP, filled]).expect_error(400);
    assert_eq!(relay.server.counters().allocations_begun, 0);
}

#[test]
fn a_retransmitted_allocate_gets_the_same_ticket() {
    let mut relay = Script::new();
    let request = relay.signed_raw(ALICE, Method::Allocate, &[UDP, WANTED]);
    let first = relay.from_client(ALICE, &request).expect_answer(ALICE).expect_success();
    let second = relay.from_client(ALICE, &request).expect_answer(ALICE);
    assert_eq!(first.bytes, second.bytes);
}

/// RFC 8016 §3.4: 405 where mobility is forbidden; here also by streams.
#[test]
fn mobility_is_forbidden_where_it_is_off_and_by_streams() {
    let by_tcp = |config: &mut relay_core::Config| {
        config.listeners[0] = listener(LISTENER, Transport::Tcp);
    };
    let off = |config: &mut relay_core::Config| config.mobility = false;
    for mut relay in [Script::with(off), Script::with(by_tcp)] {
        relay.ask_raw(ALICE, Method::Allocate, &[UDP, WANTED]).expect_error(405);
        relay.try_allocate(ALICE, vec![]).expect_success();
        refresh(&mut relay, ALICE_MOVED, &[7; 32]).expect_error(405);
        assert_eq!(relay.server.counters().errors(ErrorCode::MobilityForbidden), 2);
    }
}

/// RFC 8016 §3.2.2: the old 5-tuple stays until data comes from the new one.
#[test]
fn data_goes_to_the_old_address_until_it_comes_from_the_new_one() {
    let (mut relay, ticket) = mobile();
    let relayed = relay.relayed(ALICE);
    refresh(&mut relay, ALICE_MOVED, &ticket).expect_success();
    relay.from_peer(BOB, ALICE, b"1").expect_channel_data(ALICE, CHANNEL, b"1");
    relay.channel_data(ALICE, CHANNEL, b"2").expect_to_peer(relayed, BOB, b"2");
    relay.from_peer(BOB, ALICE, b"3").expect_channel_data(ALICE, CHANNEL, b"3");

    relay.channel_data(ALICE_MOVED, CHANNEL, b"4").expect_to_peer(relayed, BOB, b"4");
    relay.from_peer(BOB, ALICE, b"5").expect_channel_data(ALICE_MOVED, CHANNEL, b"5");
    relay.channel_data(ALICE, CHANNEL, b"6").expect_drop(Reason::NoAllocation);
    relay.try_refresh(ALICE, 600).expect_error(437);
    relay.try_refresh(ALICE_MOVED, 600).expect_success();
}

#[test]
fn a_send_indication_from_the_new_address_completes_the_move_too() {
    let (mut relay, ticket) = mobile();
    let relayed = relay.relayed(ALICE);
    refresh(&mut relay, ALICE_MOVED, &ticket).expect_success();
    relay.try_permit(ALICE_MOVED, &[BOB]).expect_success();
    relay.from_peer(BOB, ALICE, b"1").expect_channel_data(ALICE, CHANNEL, b"1");
    relay.send(ALICE_MOVED, BOB, b"2").expect_to_peer(relayed, BOB, b"2");
    relay.from_peer(BOB, ALICE, b"3").expect_channel_data(ALICE_MOVED, CHANNEL, b"3");
}

/// RFC 8016 §3.2.2: each move gives a new ticket.
#[test]
fn each_move_gives_a_new_ticket_and_the_old_one_dies_with_the_old_address() {
    let (mut relay, first) = mobile();
    let second = ticket(&refresh(&mut relay, ALICE_MOVED, &first).expect_success());
    assert_ne!(first, second);
    relay.channel_data(ALICE_MOVED, CHANNEL, b"hi");
    refresh(&mut relay, ALICE_AGAIN, &first).expect_error(437);
    let third = ticket(&refresh(&mut relay, ALICE_AGAIN, &second).expect_success());
    assert!(third != first && third != second);
    assert_eq!(relay.server.counters().allocations_moved, 2);
}

#[test]
fn who_moves_on_before_the_answer_came_shows_the_old_ticket_again() {
    let (mut relay, first) = mobile();
    refresh(&mut relay, ALICE_MOVED, &first).expect_success();
    let third = ticket(&refresh(&mut relay, ALICE_AGAIN, &first).expect_success());
    relay.channel_data(ALICE_MOVED, CHANNEL, b"1").expect_drop(Reason::NoAllocation);
    relay.from_peer(BOB, ALICE, b"2").expect_channel_data(ALICE, CHANNEL, b"2");
    relay.channel_data(ALICE_AGAIN, CHANNEL, b"3");
    relay.from_peer(BOB, ALICE, b"4").expect_channel_data(ALICE_AGAIN, CHANNEL, b"4");
    refresh(&mut relay, ALICE, &third).expect_success();
}

#[test]
fn a_retransmitted_move_gets_the_same_answer() {
    let (mut relay, ticket) = mobile();
    let shown: (u16, &[u8]) = (attribute::MOBILITY_TICKET, &ticket);
    let request = relay.signed_raw(ALICE_MOVED, Method::Refresh, &[shown]);
    let answer = |relay: &mut Script| {
        relay.from_client(ALICE_MOVED, &request).expect_answer(ALICE_MOVED).expect_success().bytes
    };
    let first = answer(&mut relay);
    assert_eq!(first, answer(&mut relay));
    relay.channel_data(ALICE_MOVED, CHANNEL, b"hi");
    assert_eq!(first, answer(&mut relay));
    assert_eq!(relay.server.counters().allocations_moved, 1);
}

/// RFC 8016 §3.2: a client shows no ticket where its address is the same.
#[test]
fn a_ticket_from_the_address_that_the_client_has_is_a_bad_request() {
    let (mut relay, ticket) = mobile();
    refresh(&mut relay, ALICE, &ticket).expect_error(400);
    let answer = relay.try_refresh(ALICE, 600).expect_success();
    assert_eq!(answer.value(attribute::MOBILITY_TICKET), None);
}

#[test]
fn a_forged_ticket_is_a_bad_request_and_changes_nothing() {
    let (mut relay, ticket) = mobile();
    let forged = |place: usize| {
        let mut forged = ticket.clone();
        forged[place] ^= 1;
        forged
    };
    let short = ticket[..31].to_vec();
    for ticket in [vec![], vec![0; 32], forged(0), forged(16), forged(31), short] {
        refresh(&mut relay, ALICE_MOVED, &ticket).expect_error(400);
    }
    relay.channel_data(ALICE_MOVED, CHANNEL, b"1").expect_drop(Reason::NoAllocation);
    relay.from_peer(BOB, ALICE, b"2").expect_channel_data(ALICE, CHANNEL, b"2");
}

/// RFC 8016 §3.2.2: only the user that made the allocation moves it.
#[test]
fn a_stolen_ticket_is_no_use_to_another_user() {
    let (mut relay, ticket) = mobile();
    refresh(&mut relay, CAROL_AT_MOVED, &ticket).expect_error(441);
    relay.from_peer(BOB, ALICE, b"1").expect_channel_data(ALICE, CHANNEL, b"1");
    relay.channel_data(CAROL_AT_MOVED, CHANNEL, b"2").expect_drop(Reason::NoAllocation);
}

#[test]
fn a_stolen_ticket_is_no_use_without_the_password_or_a_nonce() {
    let (mut relay, ticket) = mobile();
    let wrong = Client { password: "guess", ..ALICE_MOVED };
    let shown: (u16, &[u8]) = (attribute::MOBILITY_TICKET, &ticket);
    let request = relay.signed_raw(wrong, Method::Refresh, &[shown]);
    relay.from_client(wrong, &request).expect_answer(ALICE_MOVED).expect_error(401);
    // Somebody repeats from elsewhere what the client sent.
    let request = relay.signed_raw(ALICE_MOVED, Method::Refresh, &[shown]);
    relay.from_client(ALICE_AGAIN, &request).expect_answer(ALICE_AGAIN).expect_error(438);
    assert_eq!(relay.server.counters().allocations_moved, 0);
}

#[test]
fn an_address_with_an_allocation_takes_no_other() {
    let (relay, ticket) = mobile();
    let mut relay = relay.allocate(ALICE_MOVED);
    refresh(&mut relay, ALICE_MOVED, &ticket).expect_error(437);
    relay.from_peer(BOB, ALICE, b"1").expect_channel_data(ALICE, CHANNEL, b"1");
}

#[test]
fn the_ticket_of_an_allocation_that_ended_is_437() {
    let (mut relay, ticket) = mobile();
    relay.at(600.s());
    refresh(&mut relay, ALICE_MOVED, &ticket).expect_error(437);
}

#[test]
fn an_allocation_that_ends_in_a_move_leaves_neither_address() {
    let (mut relay, ticket) = mobile();
    refresh(&mut relay, ALICE_MOVED, &ticket).expect_success();
    relay.try_refresh(ALICE, 0).expect_success();
    for client in [ALICE, ALICE_MOVED] {
        relay.channel_data(client, CHANNEL, b"hi").expect_drop(Reason::NoAllocation);
        relay.try_allocate(client, vec![]).expect_success();
    }
}

#[test]
fn a_refresh_with_a_ticket_and_no_lifetime_ends_the_allocation() {
    let (mut relay, ticket) = mobile();
    let attributes: [(u16, &[u8]); 2] =
        [(attribute::MOBILITY_TICKET, &ticket), (attribute::LIFETIME, &[0; 4])];
    relay.ask_raw(ALICE_MOVED, Method::Refresh, &attributes).expect_success();
    relay.channel_data(ALICE, CHANNEL, b"hi").expect_drop(Reason::NoAllocation);
}

#[test]
fn both_halves_of_a_dual_allocation_move_and_one_of_them_still_can() {
    let mut relay = Script::new();
    let both: (u16, &[u8]) = (attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    let first = ticket(&relay.try_allocate_raw(ALICE, &[UDP, WANTED, both]).expect_success());
    let bob_v6 = "[2606:4700::8]:8888".parse().unwrap();
    relay.try_bind(ALICE, CHANNEL, BOB).expect_success();
    relay.try_bind(ALICE, CHANNEL + 1, bob_v6).expect_success();
    let second = ticket(&refresh(&mut relay, ALICE_MOVED, &first).expect_success());
    relay.channel_data(ALICE_MOVED, CHANNEL, b"1").expect_to_peer(relay.relayed(ALICE), BOB, b"1");

    let v4_ends: [(u16, &[u8]); 2] =
        [(attribute::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]), (attribute::LIFETIME, &[0; 4])];
    relay.ask_raw(ALICE_MOVED, Method::Refresh, &v4_ends).expect_success();
    refresh(&mut relay, ALICE_AGAIN, &second).expect_success();
    relay.channel_data(ALICE_AGAIN, CHANNEL, b"2").expect_drop(Reason::NoChannel);
    relay.channel_data(ALICE_MOVED, CHANNEL + 1, b"3").expect_drop(Reason::NoAllocation);
}

#[test]
fn a_client_that_moved_counts_at_its_new_source() {
    let max = |config: &mut relay_core::Config| config.allocations_per_source_max = 1;
    let (mut relay, ticket) = with_ticket(Script::with(max));
    let same_source = Client { address: v4([1, 1, 1, 1], 9), ..ALICE };
    relay.try_allocate(same_source, vec![]).expect_error(486);
    refresh(&mut relay, ALICE_MOVED, &ticket).expect_success();
    relay.channel_data(ALICE_MOVED, CHANNEL, b"hi");
    relay.try_allocate(same_source, vec![]).expect_success();
    let same_source = Client { address: v4([2, 2, 2, 2], 9), ..ALICE };
    relay.try_allocate(same_source, vec![]).expect_error(486);
}

/// Worker 0, where Alice has an allocation and a ticket, and worker 1.
fn two_workers() -> (Script, Script, Vec<u8>) {
    two_workers_with(ports(), |_| {})
}

fn two_workers_with(
    ports: Arc<RelayedPorts>,
    change: impl Fn(&mut relay_core::Config),
) -> (Script, Script, Vec<u8>) {
    let mut config = config();
    change(&mut config);
    let owner = Script::worker(config.clone(), 0, Arc::clone(&ports));
    let other = Script::worker(config, 1, ports);
    let (owner, ticket) = with_ticket(owner);
    (owner, other, ticket)
}

/// A Refresh that worker 1 gets and passes on.
fn refresh_at(other: &mut Script, client: Client, ticket: &[u8]) -> script::Forward {
    let shown: (u16, &[u8]) = (attribute::MOBILITY_TICKET, ticket);
    let request = other.signed_raw(client, Method::Refresh, &[shown]);
    other.from_client(client, &request).expect_forward(0)
}

#[test]
fn a_client_that_comes_to_another_worker_is_served_by_its_own() {
    let (mut owner, mut other, first) = two_workers();
    let relayed = owner.relayed(ALICE);
    let forward = refresh_at(&mut other, ALICE_MOVED, &first);
    let answer = owner.forwarded(&forward).expect_answer(ALICE_MOVED).expect_success();
    assert_ne!(ticket(&answer), first);

    let data = other.channel_data(ALICE_MOVED, CHANNEL, b"1").expect_forward(0);
    owner.forwarded(&data).expect_to_peer(relayed, BOB, b"1");
    owner.from_peer(BOB, ALICE, b"2").expect_channel_data(ALICE_MOVED, CHANNEL, b"2");
    assert_eq!(other.server.counters().forwarded, 2);

    // Requests get there too; the nonce of the other worker is stale.
    let request = other.signed_raw(ALICE_MOVED, Method::Refresh, &[]);
    let forward = other.from_client(ALICE_MOVED, &request).expect_forward(0);
    let answer = owner.forwarded(&forward).expect_answer(ALICE_MOVED).expect_error(438);
    let nonce = answer.nonce();
    let request = other.signed_with_nonce(ALICE_MOVED, stun_rs::methods::REFRESH, vec![], &nonce);
    let forward = other.from_client(ALICE_MOVED, &request).expect_forward(0);
    owner.forwarded(&forward).expect_answer(ALICE_MOVED).expect_success();
}

#[test]
fn nothing_is_passed_on_for_who_has_not_shown_who_it_is_or_no_ticket() {
    let (_, mut other, ticket) = two_workers();
    let wrong = Client { password: "guess", ..ALICE_MOVED };
    let shown: (u16, &[u8]) = (attribute::MOBILITY_TICKET, &ticket);
    let request = other.signed_raw(wrong, Method::Refresh, &[shown]);
    other.from_client(wrong, &request).expect_answer(ALICE_MOVED).expect_error(401);
    refresh(&mut other, ALICE_MOVED, &[7; 32]).expect_error(400);
    other.channel_data(ALICE_MOVED, CHANNEL, b"hi").expect_drop(Reason::NoAllocation);
    assert_eq!(other.server.counters().forwarded, 0);
}

/// Only one that was checked for just this client is vouched for.
#[test]
fn what_a_redirected_client_repeats_is_not_vouched_for() {
    let (mut owner, mut other, ticket) = two_workers();
    let forward = refresh_at(&mut other, CAROL, &ticket);
    owner.forwarded(&forward).expect_answer(CAROL).expect_error(441);
    // Carol is redirected now, and repeats what Alice sends.
    let stolen = refresh_at(&mut other, ALICE_MOVED, &ticket);
    let forward = other.from_client(CAROL, &stolen.bytes).expect_forward(0);
    assert!(!forward.is_vouched_for);
    owner.forwarded(&forward).expect_answer(CAROL).expect_error(438);
    assert_eq!(owner.server.counters().allocations_moved, 0);
}

#[test]
fn what_was_passed_on_once_is_not_passed_on_again() {
    let ports = ports();
    let (mut owner, mut other, ticket) = two_workers_with(Arc::clone(&ports), |_| {});
    let mut third = Script::worker(config(), 2, ports);
    let mut forward = refresh_at(&mut other, ALICE_MOVED, &ticket);
    third.forwarded(&forward).expect_answer(ALICE_MOVED).expect_error(437);
    forward.is_vouched_for = false;
    third.forwarded(&forward).expect_answer(ALICE_MOVED).expect_error(438);
    forward.is_vouched_for = true;
    owner.forwarded(&forward).expect_answer(ALICE_MOVED).expect_success();
}

#[test]
fn an_address_with_an_allocation_at_another_worker_takes_no_other() {
    let (_, other, ticket) = two_workers();
    let mut other = other.allocate(ALICE_MOVED);
    refresh(&mut other, ALICE_MOVED, &ticket).expect_error(437);
    other.try_refresh(ALICE_MOVED, 600).expect_success();
}

#[test]
fn redirects_are_limited_and_end_when_no_allocation_can_be_left() {
    let (_, mut other, ticket) = two_workers_with(ports(), |config| {
        config.redirects_max = 1;
    });
    refresh_at(&mut other, ALICE_MOVED, &ticket);
    refresh(&mut other, ALICE_AGAIN, &ticket).expect_error(508);
    other.at(3599.s());
    other.channel_data(ALICE_MOVED, CHANNEL, b"hi").expect_forward(0);
    other.at(7198.s());
    other.channel_data(ALICE_MOVED, CHANNEL, b"hi").expect_forward(0);
    other.at(10_798.s());
    other.channel_data(ALICE_MOVED, CHANNEL, b"hi").expect_drop(Reason::NoAllocation);
    other.forget_nonce(ALICE_AGAIN);
    refresh_at(&mut other, ALICE_AGAIN, &ticket);
}

#[test]
fn the_tickets_of_another_relay_open_nothing() {
    let (_, _, ticket) = two_workers();
    let mut stranger = Script::worker(config(), 7, RelayedPorts::new([RELAY_IP]).into());
    refresh(&mut stranger, ALICE_MOVED, &ticket).expect_error(400);
}

#[test]
fn a_channel_keeps_its_lifetime_through_a_move() {
    let (mut relay, ticket) = mobile();
    relay.at(300.s());
    refresh(&mut relay, ALICE_MOVED, &ticket).expect_success();
    relay.try_permit(ALICE_MOVED, &[BOB]).expect_success();
    relay.at(CHANNEL_LIFETIME);
    relay.channel_data(ALICE_MOVED, CHANNEL, b"hi").expect_drop(Reason::NoChannel);
}
