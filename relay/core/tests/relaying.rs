//! CreatePermission, ChannelBind, and the data they let through: to peers and between allocations.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use relay_core::wire::{Class, Method, TransactionId, Writer, attribute, encode_xor_address};
use relay_core::{At, Cidr, PeerPolicy, PortId, Reason, Received, Scratch, Verdict, WorkerId};
use script::*;
use std::net::{IpAddr, SocketAddr};

fn allowing(ranges: &[&str]) -> PeerPolicy {
    PeerPolicy { allow: ranges.iter().map(|range| range.parse().unwrap()).collect(), deny: vec![] }
}

#[test]
fn a_permission_dies_after_five_minutes() {
    let mut relay = Script::new().allocate(ALICE).permit(ALICE, BOB);
    let relayed = relay.relayed(ALICE);
    relay.at(299.s()).from_peer(BOB, ALICE, b"hi").expect_data_indication(ALICE, BOB, b"hi");
    relay.send(ALICE, BOB, b"ho").expect_to_peer(relayed, BOB, b"ho");
    relay.at(300.s()).from_peer(BOB, ALICE, b"hi").expect_drop(Reason::NoPermission);
    relay.send(ALICE, BOB, b"ho").expect_drop(Reason::NoPermission);
}

#[test]
fn a_permission_is_for_an_address_whatever_its_port() {
    let mut relay = Script::new().allocate(ALICE).permit(ALICE, BOB);
    let relayed = relay.relayed(ALICE);
    relay.from_peer(BOB_AGAIN, ALICE, b"hi").expect_data_indication(ALICE, BOB_AGAIN, b"hi");
    relay.send(ALICE, BOB_AGAIN, b"ho").expect_to_peer(relayed, BOB_AGAIN, b"ho");
    relay.from_peer(EVE, ALICE, b"hi").expect_drop(Reason::NoPermission);
    relay.send(ALICE, EVE, b"ho").expect_drop(Reason::NoPermission);
}

#[test]
fn several_peers_are_permitted_together_or_not_at_all() {
    let mut relay = Script::new().allocate(ALICE);
    let private = v4([10, 0, 0, 1], 1);
    relay.try_permit(ALICE, &[BOB, private]).expect_error(403);
    relay.from_peer(BOB, ALICE, b"hi").expect_drop(Reason::NoPermission);
    relay.try_permit(ALICE, &[BOB, v6(9, 9)]).expect_error(443);
    relay.from_peer(BOB, ALICE, b"hi").expect_drop(Reason::NoPermission);
    relay.try_permit(ALICE, &[BOB, EVE]).expect_success();
    relay.from_peer(BOB, ALICE, b"hi").expect_data_indication(ALICE, BOB, b"hi");
    relay.from_peer(EVE, ALICE, b"hi").expect_data_indication(ALICE, EVE, b"hi");
    relay.try_permit(ALICE, &[]).expect_error(400);
    let cut = &[0, 1, 2, 3][..];
    let peers = [(attribute::XOR_PEER_ADDRESS, cut)];
    relay.ask_raw(ALICE, Method::CreatePermission, &peers).expect_error(400);
}

#[test]
fn permissions_are_limited_and_refreshing_needs_no_room() {
    let mut relay = Script::with(|config| config.permissions_max = 2).allocate(ALICE);
    relay.try_permit(ALICE, &[BOB, BOB_AGAIN]).expect_success();
    relay.try_permit(ALICE, &[EVE, v4([7, 7, 7, 7], 7777)]).expect_error(508);
    relay.at(100.s()).try_permit(ALICE, &[BOB, EVE]).expect_success();
    relay.try_permit(ALICE, &[v4([7, 7, 7, 7], 7777)]).expect_error(508);
    relay.try_bind(ALICE, 0x4000, v4([7, 7, 7, 7], 7777)).expect_error(508);
    relay.at(300.s()).try_permit(ALICE, &[BOB, EVE]).expect_success();
    relay.at(600.s()).try_refresh(ALICE, 600).expect_error(437);
}

#[test]
fn a_channel_carries_data_both_ways_without_padding() {
    let mut relay = Script::new().allocate(ALICE).bind(ALICE, 0x4001, BOB);
    let relayed = relay.relayed(ALICE);
    for data in [&b""[..], b"x", b"four", b"seven77"] {
        relay.channel_data(ALICE, 0x4001, data).expect_to_peer(relayed, BOB, data);
        relay.from_peer(BOB, ALICE, data).expect_channel_data(ALICE, 0x4001, data);
    }
    let mut padded = channel_data(0x4001, b"x");
    padded.extend([0, 0, 0]);
    relay.from_client(ALICE, &padded).expect_to_peer(relayed, BOB, b"x");
}

#[test]
fn another_port_of_a_channel_s_peer_comes_in_an_indication() {
    let mut relay = Script::new().allocate(ALICE).bind(ALICE, 0x4001, BOB);
    relay.from_peer(BOB_AGAIN, ALICE, b"hi").expect_data_indication(ALICE, BOB_AGAIN, b"hi");
}

#[test]
fn data_indications_of_every_length_are_padded() {
    let mut relay = Script::new().allocate(ALICE).permit(ALICE, BOB);
    for length in 0..9 {
        let data = &b"123456789"[..length];
        relay.from_peer(BOB, ALICE, data).expect_data_indication(ALICE, BOB, data);
    }
    let long = vec![b'x'; 65_504];
    relay.from_peer(BOB, ALICE, &long).expect_data_indication(ALICE, BOB, &long);
    let too_long = vec![b'x'; 65_505];
    relay.from_peer(BOB, ALICE, &too_long).expect_drop(Reason::TooLong);
}

#[test]
fn one_peer_has_one_channel() {
    let mut relay = Script::new().allocate(ALICE).bind(ALICE, 0x4000, BOB);
    relay.try_bind(ALICE, 0x4000, EVE).expect_error(400);
    relay.try_bind(ALICE, 0x4001, BOB).expect_error(400);
    relay.try_bind(ALICE, 0x4000, BOB).expect_success();
    relay.try_bind(ALICE, 0x4001, BOB_AGAIN).expect_success();
}

#[test]
fn channel_numbers_are_0x4000_to_0x7fff() {
    let mut relay = Script::new().allocate(ALICE);
    for number in [0, 0x3fff, 0x8000, 0xffff] {
        relay.try_bind(ALICE, number, BOB).expect_error(400);
    }
    relay.try_bind(ALICE, 0x4fff, BOB).expect_success();
    relay.try_bind(ALICE, 0x7fff, EVE).expect_success();
    relay.channel_data(ALICE, 0x3fff, b"hi").expect_drop(Reason::Malformed);
    relay.ask_raw(ALICE, Method::ChannelBind, &[]).expect_error(400);
}

#[test]
fn a_channel_lives_ten_minutes_and_its_permission_five() {
    let mut relay = Script::new().allocate(ALICE).bind(ALICE, 0x4000, BOB);
    let relayed = relay.relayed(ALICE);
    relay.try_refresh(ALICE, 3600).expect_success();
    relay.at(300.s()).channel_data(ALICE, 0x4000, b"hi").expect_drop(Reason::NoPermission);
    relay.from_peer(BOB, ALICE, b"hi").expect_drop(Reason::NoPermission);
    relay.try_permit(ALICE, &[BOB]).expect_success();
    relay.at(599.s()).channel_data(ALICE, 0x4000, b"hi").expect_to_peer(relayed, BOB, b"hi");
    relay.try_permit(ALICE, &[BOB]).expect_success();
    relay.at(600.s()).channel_data(ALICE, 0x4000, b"hi").expect_drop(Reason::NoChannel);
    relay.from_peer(BOB, ALICE, b"hi").expect_data_indication(ALICE, BOB, b"hi");
    relay.try_bind(ALICE, 0x4000, EVE).expect_success();
}

#[test]
fn binding_again_refreshes_channel_and_permission() {
    let mut relay = Script::new().allocate(ALICE).bind(ALICE, 0x4000, BOB);
    let relayed = relay.relayed(ALICE);
    relay.try_refresh(ALICE, 3600).expect_success();
    relay.at(299.s()).try_bind(ALICE, 0x4000, BOB).expect_success();
    relay.at(598.s()).try_bind(ALICE, 0x4000, BOB).expect_success();
    relay.at(897.s()).channel_data(ALICE, 0x4000, b"hi").expect_to_peer(relayed, BOB, b"hi");
    relay.at(898.s()).channel_data(ALICE, 0x4000, b"hi").expect_drop(Reason::NoPermission);
}

#[test]
fn channels_are_limited() {
    let mut relay = Script::with(|config| config.channels_max = 1).allocate(ALICE);
    relay.try_bind(ALICE, 0x4000, BOB).expect_success();
    relay.try_bind(ALICE, 0x4001, EVE).expect_error(508);
    relay.from_peer(EVE, ALICE, b"hi").expect_drop(Reason::NoPermission);
    relay.try_bind(ALICE, 0x4000, BOB).expect_success();
}

#[test]
fn an_unbound_channel_carries_nothing() {
    let mut relay = Script::new().allocate(ALICE).permit(ALICE, BOB);
    relay.channel_data(ALICE, 0x4000, b"hi").expect_drop(Reason::NoChannel);
    relay.channel_data(CAROL, 0x4000, b"hi").expect_drop(Reason::NoAllocation);
}

#[test]
fn ipv6_clients_reach_ipv6_peers() {
    let mut relay = Script::with(|config| config.policy = allowing(&["2001:db8::/32"]));
    let ipv6 = [(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0][..]), (0x0017, &[2, 0, 0, 0])];
    let answer = relay.ask_raw(DAVE_V6, Method::Allocate, &ipv6).expect_success();
    let (relayed, peer) = (answer.relayed(), v6(0xb0b, 8888));
    relay.try_permit(DAVE_V6, &[BOB]).expect_error(443);
    relay.try_bind(DAVE_V6, 0x4000, peer).expect_success();
    relay.channel_data(DAVE_V6, 0x4000, b"hi").expect_to_peer(relayed, peer, b"hi");
    let port = At::Port(port_at(relayed));
    relay.datagram(port, peer, b"hi").expect_channel_data(DAVE_V6, 0x4000, b"hi");
    let other = v6(0xb0b, 9999);
    relay.datagram(port, other, b"hi").expect_data_indication(DAVE_V6, other, b"hi");
}

#[test]
fn a_denied_address_is_denied_on_every_path_in_every_spelling() {
    let spellings = [
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::",
        "2001:0:1:1:1:1:80ff:fffe",
        "::1",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
    ];
    let mut relay = Script::new();
    let ipv6 = [(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0][..]), (0x0017, &[2, 0, 0, 0])];
    let relayed = relay.ask_raw(DAVE_V6, Method::Allocate, &ipv6).expect_success().relayed();
    for spelling in spellings {
        let peer = SocketAddr::new(spelling.parse().unwrap(), 8000);
        relay.try_permit(DAVE_V6, &[peer]).expect_error(403);
        relay.try_bind(DAVE_V6, 0x4000, peer).expect_error(403);
        relay.send(DAVE_V6, peer, b"hi").expect_drop(Reason::NoPermission);
        let port = At::Port(port_at(relayed));
        relay.datagram(port, peer, b"hi").expect_drop(Reason::NoPermission);
    }
}

#[test]
fn an_operator_opens_a_range_but_never_the_listeners() {
    let mut relay = Script::with(|config| {
        config.policy = allowing(&["127.0.0.0/8", "198.51.100.0/24"]);
        config.never_peers = vec![v4([127, 0, 0, 1], 8080)];
    });
    relay = relay.allocate(ALICE).permit(ALICE, LISTENER).permit(ALICE, v4([127, 0, 0, 1], 1));
    let relayed = relay.relayed(ALICE);
    for (own, else_on_it) in [
        (LISTENER, v4([198, 51, 100, 1], 8000)),
        (v4([127, 0, 0, 1], 8080), v4([127, 0, 0, 1], 8000)),
    ] {
        relay.send(ALICE, own, b"hi").expect_drop(Reason::PeerDenied);
        relay.from_peer(own, ALICE, b"hi").expect_drop(Reason::PeerDenied);
        relay.try_bind(ALICE, 0x4000, own).expect_error(403);
        relay.send(ALICE, else_on_it, b"hi").expect_to_peer(relayed, else_on_it, b"hi");
    }
    relay.send(ALICE, v4([127, 0, 0, 1], 0), b"hi").expect_drop(Reason::PeerDenied);
    relay.try_bind(ALICE, 0x4000, v4([127, 0, 0, 1], 0)).expect_error(403);
}

#[test]
fn two_allocations_of_one_worker_meet_inside() {
    let mut relay = Script::new().allocate(ALICE).allocate(CAROL);
    let (alice, carol) = (relay.relayed(ALICE), relay.relayed(CAROL));
    relay = relay.permit(ALICE, carol);
    relay.send(ALICE, carol, b"hi").expect_drop(Reason::NoPermission);
    relay = relay.permit(CAROL, alice);
    relay.send(ALICE, carol, b"hi").expect_data_indication(CAROL, alice, b"hi");
    relay = relay.bind(CAROL, 0x4002, alice).bind(ALICE, 0x4001, carol);
    relay.channel_data(ALICE, 0x4001, b"hi").expect_channel_data(CAROL, 0x4002, b"hi");
    relay.channel_data(CAROL, 0x4002, b"ho").expect_channel_data(ALICE, 0x4001, b"ho");
    let counters = relay.server.counters();
    assert_eq!((counters.relay_to_relay.packets, counters.relay_to_relay.bytes), (3, 6));
    assert_eq!(counters.client_to_peer.packets, 0);
    relay.try_refresh(CAROL, 0).expect_success();
    relay.channel_data(ALICE, 0x4001, b"hi").expect_drop(Reason::PeerDenied);
}

#[test]
fn an_own_address_is_open_inside_only() {
    let mut relay = Script::new().allocate(ALICE);
    let nobody = v4([198, 51, 100, 1], 50_999);
    relay = relay.permit(ALICE, nobody);
    relay.send(ALICE, nobody, b"hi").expect_drop(Reason::PeerDenied);
    relay.from_peer(nobody, ALICE, b"hi").expect_drop(Reason::PeerDenied);
}

#[test]
fn with_everything_closed_clients_reach_each_other_and_nobody_else() {
    let everything = ["0.0.0.0/0", "::/0"].map(|range| range.parse().unwrap());
    let mut relay = Script::with(|config| config.policy.deny = everything.to_vec());
    relay = relay.allocate(ALICE).allocate(CAROL);
    let (alice, carol) = (relay.relayed(ALICE), relay.relayed(CAROL));
    relay.try_permit(ALICE, &[BOB]).expect_error(403);
    relay = relay.permit(ALICE, carol).permit(CAROL, alice);
    relay.send(ALICE, carol, b"hi").expect_data_indication(CAROL, alice, b"hi");
}

#[test]
fn a_client_reaches_its_own_allocation() {
    let mut relay = Script::new().allocate(ALICE);
    let own = relay.relayed(ALICE);
    relay = relay.permit(ALICE, own);
    relay.send(ALICE, own, b"hi").expect_data_indication(ALICE, own, b"hi");
}

#[test]
fn two_allocations_of_two_workers_meet_by_handover() {
    let ports = ports();
    let mut first = Script::worker(config(), 0, ports.clone()).allocate(ALICE);
    let mut second = Script::worker(config(), 1, ports).allocate(CAROL);
    let (alice, carol) = (first.relayed(ALICE), second.relayed(CAROL));
    first = first.permit(ALICE, carol);
    let body = b"hi".to_vec();
    let handed_over = Outcome::Handover { worker: WorkerId(1), from: alice, to: carol, body };
    assert_eq!(first.send(ALICE, carol, b"hi"), handed_over);
    second.handover(alice, carol, b"hi").expect_drop(Reason::NoPermission);
    second = second.permit(CAROL, alice);
    second.handover(alice, carol, b"hi").expect_data_indication(CAROL, alice, b"hi");
    second = second.bind(CAROL, 0x4000, alice);
    second.handover(alice, carol, b"hi").expect_channel_data(CAROL, 0x4000, b"hi");
    assert_eq!(first.server.counters().handed_over.packets, 1);
    assert_eq!(second.server.counters().relay_to_relay.packets, 2);
    second.try_refresh(CAROL, 0).expect_success();
    second.handover(alice, carol, b"hi").expect_drop(Reason::NoAllocation);
    first.send(ALICE, carol, b"hi").expect_drop(Reason::PeerDenied);
}

#[test]
fn behind_a_nat_clients_are_told_the_outside_address() {
    let outside: IpAddr = [203, 0, 113, 5].into();
    let ports = relay_core::RelayedPorts::new([outside]).into();
    let mut relay = Script::without_stock(config(), 0, ports);
    for port in 0..2_u16 {
        let bound = SocketAddr::new(RELAY_IP, 50_000 + port);
        let advertised = SocketAddr::new(outside, 50_000 + port);
        relay.server.handle_port_open(PortId(port.into()), bound, advertised);
    }
    let mut relay = relay.allocate(ALICE).allocate(CAROL);
    let (alice, carol) = (relay.relayed(ALICE), relay.relayed(CAROL));
    assert_eq!(alice, SocketAddr::new(outside, 50_000));
    relay = relay.permit(ALICE, carol).permit(CAROL, alice);
    relay.send(ALICE, carol, b"hi").expect_data_indication(CAROL, alice, b"hi");
}

#[test]
fn an_explicit_deny_beats_an_allow() {
    let deny: Cidr = "8.8.8.0/24".parse().unwrap();
    let mut relay = Script::with(|config| {
        config.policy = PeerPolicy { deny: vec![deny], ..allowing(&["8.8.8.8"]) };
    });
    relay = relay.allocate(ALICE);
    relay.try_permit(ALICE, &[BOB]).expect_error(403);
}

#[test]
fn a_client_can_ask_that_a_datagram_not_be_fragmented() {
    // RFC 8656 §18.9: DONT-FRAGMENT has no value; in Allocate it asks whether it is supported.
    let transport = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0][..]);
    let dont_fragment = (attribute::DONT_FRAGMENT, &[][..]);
    let mut relay = Script::new();
    relay.ask_raw(ALICE, Method::Allocate, &[transport, dont_fragment]).expect_success();
    relay.try_permit(ALICE, &[BOB]).expect_success();
    let now = relay.now();
    let mut asks = |indication: &[u8]| {
        let at = At::Listener(ALICE.listener);
        let received = Received { at, from: ALICE.address, bytes: indication };
        match relay.server.handle(now, received, &mut Scratch::new()) {
            Verdict::Send(transmit) => transmit.dont_fragment,
            other @ (Verdict::Handover { .. }
            | Verdict::Forward { .. }
            | Verdict::Done
            | Verdict::Drop(_)) => {
                panic!("{other:?}")
            }
        }
    };
    let mut value = [0; 20];
    let id = TransactionId([7; 12]);
    let length = encode_xor_address(BOB, &id, &mut value);
    for asked in [false, true] {
        let mut buffer = [0; 200];
        let mut writer = Writer::new(&mut buffer, Class::Indication, Method::Send, id);
        writer.attribute(attribute::XOR_PEER_ADDRESS, &value[..length]);
        if asked {
            writer.attribute(attribute::DONT_FRAGMENT, &[]);
        }
        writer.attribute(attribute::DATA, b"hi");
        assert_eq!(asks(writer.finish()), asked);
    }
}

#[test]
fn peer_ports_below_1024_are_denied_but_those_of_the_list() {
    let at = |port| v4([8, 8, 8, 8], port);
    let mut relay = Script::new().allocate(ALICE).permit(ALICE, BOB);
    let relayed = relay.relayed(ALICE);
    for port in [1, 53, 123, 161, 442, 444, 1023] {
        relay.send(ALICE, at(port), b"hi").expect_drop(Reason::PeerDenied);
        relay.from_peer(at(port), ALICE, b"hi").expect_drop(Reason::PeerDenied);
        relay.try_bind(ALICE, 0x4000, at(port)).expect_error(403);
    }
    for port in [443, 1024, 3478] {
        relay.send(ALICE, at(port), b"hi").expect_to_peer(relayed, at(port), b"hi");
        relay.from_peer(at(port), ALICE, b"hi").expect_data_indication(ALICE, at(port), b"hi");
    }
    let mut open = Script::with(|config| config.peer_ports_low = vec![53]);
    open.try_allocate(ALICE, vec![]).expect_success();
    open.try_bind(ALICE, 0x4000, at(53)).expect_success();
    open.try_bind(ALICE, 0x4001, at(443)).expect_error(403);
}
