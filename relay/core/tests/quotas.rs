//! How much one user, room or source gets, and how fast.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use heliograph_base::{Credentials, Secret, UnixTime};
use relay_core::{Config, InvalidConfig, Reason};
use script::*;
use std::time::Duration;

/// Somebody with minted credentials, at an address of their own.
fn holder(ip: [u8; 4], number: u16, name: &str) -> Client {
    let secret = Secret::from_text("north").unwrap();
    let minted = Credentials::mint(&secret, UnixTime::from_seconds(START + 100_000), name);
    let (user, password) = (minted.username.leak(), minted.password.leak());
    Client { user, password, ..Client::of(ip, number, "") }
}

fn relay(change: impl FnOnce(&mut Config)) -> Script {
    let mut relay = Script::with(|config| {
        config.secrets = vec![Secret::from_text("north").unwrap()];
        change(config);
    });
    for _ in 0..100 {
        relay.open_port(RELAY_IP);
    }
    relay
}

fn open_v6_ports(relay: &mut Script) {
    for _ in 0..10 {
        relay.open_port(RELAY_IP_V6);
    }
}

#[test]
fn a_room_has_its_quota_whoever_is_in_it() {
    let mut relay = relay(|config| config.allocations_per_room_max = 2);
    let [one, two, three] = [1, 2, 3].map(|n| holder([5, 5, 5, n], 1, &format!("demo:p{n}:{n}")));
    relay.try_allocate(one, vec![]).expect_success();
    relay.try_allocate(two, vec![]).expect_success();
    relay.try_allocate(three, vec![]).expect_error(486);
    let elsewhere = holder([5, 5, 5, 4], 1, "other:p3:4");
    relay.try_allocate(elsewhere, vec![]).expect_success();
    relay.try_allocate(holder([5, 5, 5, 5], 1, "demo"), vec![]).expect_success();
    relay.try_refresh(one, 0).expect_success();
    relay.try_allocate(three, vec![]).expect_success();
}

#[test]
fn a_source_address_has_its_quota_whoever_is_behind_it() {
    let mut relay = relay(|config| config.allocations_per_source_max = 2);
    let [one, two, three] = [1, 2, 3].map(|n| holder([5, 5, 5, 5], n, &format!("user{n}")));
    relay.try_allocate(one, vec![]).expect_success();
    relay.try_allocate(two, vec![]).expect_success();
    relay.try_allocate(three, vec![]).expect_error(486);
    relay.try_allocate(holder([5, 5, 5, 6], 3, "user3"), vec![]).expect_success();
    relay.at(600.s()).try_allocate(three, vec![]).expect_success();
}

#[test]
fn an_ipv6_source_is_a_network_of_64_bits() {
    let mut relay = Script::with(|config| config.allocations_per_source_max = 1);
    open_v6_ports(&mut relay);
    let at = |address: &str| Client { address: address.parse().unwrap(), ..DAVE_V6 };
    relay.try_allocate(at("[2001:db8:1:1::1]:1"), vec![]).expect_success();
    relay.try_allocate(at("[2001:db8:1:1:ffff::2]:2"), vec![]).expect_error(486);
    relay.try_allocate(at("[2001:db8:1:2::1]:1"), vec![]).expect_success();
}

#[test]
fn one_user_can_not_take_the_last_port() {
    let mut relay = relay(|config| {
        config.allocations_max = 20;
        config.allocations_headroom_percent = 10;
    });
    for number in 1..=18 {
        relay.try_allocate(holder([5, 5, 5, 5], number, "greedy"), vec![]).expect_success();
    }
    relay.try_allocate(holder([5, 5, 5, 5], 19, "greedy"), vec![]).expect_error(486);
    relay.try_allocate(holder([5, 5, 5, 6], 1, "modest"), vec![]).expect_success();
    relay.try_allocate(holder([5, 5, 5, 6], 2, "modest"), vec![]).expect_success();
    relay.try_allocate(holder([5, 5, 5, 6], 3, "late"), vec![]).expect_error(508);
    relay.try_refresh(holder([5, 5, 5, 5], 1, "greedy"), 0).expect_success();
    relay.try_allocate(holder([5, 5, 5, 5], 1, "greedy"), vec![]).expect_error(486);
    relay.try_allocate(holder([5, 5, 5, 6], 3, "late"), vec![]).expect_success();
}

#[test]
fn many_equal_users_fill_the_relay_to_the_last_port() {
    let mut relay = relay(|config| config.allocations_max = 20);
    for number in 1..=20 {
        let client = holder([5, 5, 5, 5], number, &format!("user{number}"));
        relay.try_allocate(client, vec![]).expect_success();
    }
    relay.try_allocate(holder([5, 5, 5, 5], 21, "user21"), vec![]).expect_error(508);
}

/// RFC 8656 §10.2: 508 if the server is "unable to install or refresh additional permissions due to
/// some capacity limit or policy".
#[test]
fn a_holder_has_so_many_new_peers_a_minute_over_all_its_allocations() {
    let mut relay = relay(|config| config.peers_per_minute_max = 6);
    let [one, two] = [1, 2].map(|n| holder([5, 5, 5, 5], n, "bot"));
    relay = relay.allocate(one).allocate(two);
    let peer = |last| v4([8, 8, 8, last], 8888);
    relay.try_permit(one, &[peer(1), peer(2), peer(3)]).expect_success();
    relay.try_permit(two, &[peer(1), peer(2)]).expect_success();
    relay.try_permit(two, &[peer(3), peer(4)]).expect_error(508);
    relay.try_permit(one, &[peer(1), peer(2), peer(3)]).expect_success();
    relay.try_bind(one, 0x4000, peer(1)).expect_success();
    relay.try_bind(one, 0x4001, peer(4)).expect_success();
    relay.try_bind(one, 0x4002, peer(5)).expect_error(508);
    relay.at(10.s()).try_bind(one, 0x4002, peer(5)).expect_success();
    relay.try_permit(two, &[peer(5)]).expect_error(508);
    relay.try_permit(two, &[peer(1)]).expect_success();
}

#[test]
fn a_new_allocation_brings_no_new_burst() {
    let mut relay = relay(|config| config.peers_per_minute_max = 2);
    let bot = holder([5, 5, 5, 5], 1, "bot");
    let peer = |last| v4([8, 8, 8, last], 8888);
    relay.try_allocate(bot, vec![]).expect_success();
    relay.try_permit(bot, &[peer(1), peer(2)]).expect_success();
    for _ in 0..3 {
        relay.try_refresh(bot, 0).expect_success();
        relay.try_allocate(bot, vec![]).expect_success();
        relay.try_permit(bot, &[peer(3)]).expect_error(508);
    }
    relay.try_refresh(bot, 0).expect_success();
    relay.at(60.s()).try_allocate(bot, vec![]).expect_success();
    relay.try_permit(bot, &[peer(3), peer(4)]).expect_success();
}

#[test]
fn packets_over_the_rate_of_a_holder_are_dropped_both_ways() {
    let mut relay = relay(|config| config.holder_packets_per_s = 10);
    let bot = holder([5, 5, 5, 5], 1, "bot");
    relay = relay.allocate(bot).bind(bot, 0x4000, BOB);
    let relayed = relay.relayed(bot);
    for _ in 0..5 {
        relay.channel_data(bot, 0x4000, b"hi").expect_to_peer(relayed, BOB, b"hi");
        relay.from_peer(BOB, bot, b"hi").expect_channel_data(bot, 0x4000, b"hi");
    }
    relay.channel_data(bot, 0x4000, b"hi").expect_drop(Reason::OverRate);
    relay.send(bot, BOB, b"hi").expect_drop(Reason::OverRate);
    relay.from_peer(BOB, bot, b"hi").expect_drop(Reason::OverRate);
    assert_eq!(relay.server.counters().drops(Reason::OverRate), 3);
    relay.at(Duration::from_millis(100));
    relay.channel_data(bot, 0x4000, b"hi").expect_to_peer(relayed, BOB, b"hi");
    relay.channel_data(bot, 0x4000, b"hi").expect_drop(Reason::OverRate);
    relay.try_refresh(bot, 600).expect_success();
}

#[test]
fn bytes_over_the_rate_of_a_holder_are_dropped() {
    let mut relay = relay(|config| config.holder_bytes_per_s = 100_000);
    let bot = holder([5, 5, 5, 5], 1, "bot");
    relay = relay.allocate(bot).bind(bot, 0x4000, BOB);
    let relayed = relay.relayed(bot);
    let kilobyte = [7; 1000];
    let sent = |relay: &mut Script| {
        let outcomes = (0..300).map(|_| relay.channel_data(bot, 0x4000, &kilobyte));
        outcomes.filter(|outcome| matches!(outcome, Outcome::Send { .. })).count()
    };
    let burst = sent(&mut relay);
    assert!((99..=101).contains(&burst), "{burst}");
    relay.at(Duration::from_millis(1500));
    let refilled = sent(&mut relay);
    assert!((99..=101).contains(&refilled), "{refilled}");
    relay.at(2.s());
    let half = sent(&mut relay);
    assert!((49..=51).contains(&half), "{half}");
    relay.channel_data(bot, 0x4000, b"").expect_to_peer(relayed, BOB, b"");
}

#[test]
fn between_two_allocations_both_users_are_metered() {
    let mut relay = relay(|config| config.holder_packets_per_s = 1);
    let [one, two] = [1, 2].map(|n| holder([5, 5, 5, 5], n, &format!("user{n}")));
    relay = relay.allocate(one).allocate(two);
    let [at_one, at_two] = [relay.relayed(one), relay.relayed(two)];
    relay = relay.permit(one, at_two).permit(two, at_one);
    relay.send(one, at_two, b"hi").expect_data_indication(two, at_one, b"hi");
    relay.send(two, at_one, b"hi").expect_drop(Reason::OverRate);
}

#[test]
fn static_users_are_not_metered() {
    let mut relay = Script::with(|config| {
        config.holder_packets_per_s = 1;
        config.holder_bytes_per_s = 65_536;
        config.peers_per_minute_max = 1;
    });
    relay = relay.allocate(ALICE).bind(ALICE, 0x4000, BOB).permit(ALICE, EVE);
    let relayed = relay.relayed(ALICE);
    let data = [0; 60_000];
    for _ in 0..10 {
        relay.channel_data(ALICE, 0x4000, &data).expect_to_peer(relayed, BOB, &data);
    }
}

#[test]
fn limits_of_zero_are_none() {
    let mut relay = relay(|config| {
        config.holder_packets_per_s = 0;
        config.holder_bytes_per_s = 0;
        config.peers_per_minute_max = 0;
    });
    let bot = holder([5, 5, 5, 5], 1, "bot");
    relay = relay.allocate(bot).permit(bot, BOB).permit(bot, EVE);
    let relayed = relay.relayed(bot);
    for _ in 0..100_000 {
        relay.send(bot, BOB, b"hi").expect_to_peer(relayed, BOB, b"hi");
    }
}

#[test]
fn limits_that_no_packet_could_pass_are_refused() {
    let with = |change: fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        config.check()
    };
    assert_eq!(with(|config| config.holder_bytes_per_s = 1), Err(InvalidConfig::HolderBytes));
    let headroom = with(|config| config.allocations_headroom_percent = 101);
    assert_eq!(headroom, Err(InvalidConfig::Headroom));
    let burst = with(|config| config.unauthenticated_site_burst = 0);
    assert_eq!(burst, Err(InvalidConfig::Unauthenticated));
    let nonces = with(|config| config.nonce_lifetime = Duration::from_secs(40_000));
    assert_eq!(nonces, Err(InvalidConfig::NonceLifetime));
}

#[test]
fn a_quota_counts_over_all_workers() {
    let ports = ports();
    let config = Config { allocations_per_user_max: 1, ..config() };
    let mut first = Script::worker(config.clone(), 0, ports.clone());
    let mut second = Script::worker(config, 1, ports);
    let alice_again = Client::of([1, 1, 1, 1], 1112, "alice");
    first.try_allocate(ALICE, vec![]).expect_success();
    second.try_allocate(alice_again, vec![]).expect_error(486);
    second.try_allocate(CAROL, vec![]).expect_success();
    first.try_refresh(ALICE, 0).expect_success();
    second.try_allocate(alice_again, vec![]).expect_success();
    first.try_allocate(ALICE, vec![]).expect_error(486);
}

#[test]
fn an_allocate_that_fails_gives_its_place_back() {
    let config = Config { allocations_per_user_max: 1, ..config() };
    let mut relay = Script::without_stock(config, 0, ports());
    relay.try_allocate(ALICE, vec![]).expect_error(508);
    relay.open_port(RELAY_IP);
    relay.try_allocate(ALICE, vec![]).expect_success();
}
