//! Bytes that nobody honest sends: no panic, no answer that wasn't asked for, no state, and each
//! drop is counted.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use proptest::prelude::*;
use relay_core::wire::{Class, Method, TransactionId, Writer, attribute};
use relay_core::{At, ListenerId, PortId, Reason};
use script::*;
use stun_rs::MessageClass;
use stun_rs::methods::{ALLOCATE, BINDING};

/// A relay where every path is open: an allocation with permission and channel.
fn open_relay() -> Script {
    Script::new().allocate(ALICE).bind(ALICE, 0x4000, BOB)
}

/// One valid message of each kind that Alice can send.
fn valid_messages(relay: &mut Script) -> Vec<Vec<u8>> {
    let peer = [(attribute::XOR_PEER_ADDRESS, &[0, 1, 1, 2, 0x29, 0x1a, 0xac, 0x4a][..])];
    let mut buffer = [0; 200];
    let id = TransactionId([1; 12]);
    let mut send = Writer::new(&mut buffer, Class::Indication, Method::Send, id);
    send.attribute(peer[0].0, peer[0].1);
    send.attribute(attribute::DATA, b"hello");
    let send = send.finish().to_vec();
    vec![
        encode(&relay.begin(BINDING, MessageClass::Request).build()),
        encode(&relay.begin(ALLOCATE, MessageClass::Request).build()),
        relay.signed_raw(
            ALICE,
            Method::Allocate,
            &[(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])],
        ),
        relay.signed_raw(ALICE, Method::Refresh, &[]),
        relay.signed_raw(ALICE, Method::CreatePermission, &peer),
        relay.signed_raw(
            ALICE,
            Method::ChannelBind,
            &[(attribute::CHANNEL_NUMBER, &[0x40, 1, 0, 0]), peer[0]],
        ),
        send,
        channel_data(0x4000, b"hello"),
    ]
}

#[test]
fn a_message_cut_anywhere_is_dropped() {
    let mut relay = open_relay();
    for message in valid_messages(&mut relay) {
        for length in 0..message.len() {
            let outcome = relay.from_client(ALICE, &message[..length]);
            assert!(matches!(outcome, Outcome::Drop(_)), "{length} of {message:x?}: {outcome:?}");
        }
    }
}

#[test]
fn bytes_after_a_message_are_refused() {
    let mut relay = open_relay();
    for mut message in valid_messages(&mut relay) {
        message.extend([0; 4]);
        relay.from_client(ALICE, &message).expect_drop(Reason::Malformed);
    }
}

#[test]
fn each_kind_of_rubbish_has_its_reason() {
    let mut relay = open_relay();
    relay.from_client(ALICE, b"").expect_drop(Reason::NotStun);
    relay.from_client(ALICE, b"\xffhello").expect_drop(Reason::NotStun);
    relay.from_client(ALICE, b"GET / HTTP/1.1\r\n\r\n").expect_drop(Reason::Malformed);
    let mut old = encode(&relay.begin(BINDING, MessageClass::Request).build());
    old[4] = 0; // before RFC 5389: no magic cookie
    relay.from_client(ALICE, &old).expect_drop(Reason::Malformed);
    let answer = encode(&relay.begin(BINDING, MessageClass::SuccessResponse).build());
    relay.from_client(ALICE, &answer).expect_drop(Reason::UnexpectedClass);
    let mut unknown = encode(&relay.begin(BINDING, MessageClass::Request).build());
    unknown[1] = 0x05;
    relay.from_client(ALICE, &unknown).expect_drop(Reason::UnknownMethod);
    let indication = encode(&relay.begin(ALLOCATE, MessageClass::Indication).build());
    relay.from_client(ALICE, &indication).expect_drop(Reason::BadIndication);
    relay.datagram(At::Port(PortId(3)), BOB, b"hi").expect_drop(Reason::NoAllocation);
    relay.datagram(At::Port(PortId(u32::MAX)), BOB, b"hi").expect_drop(Reason::NoAllocation);
}

#[test]
fn a_send_indication_without_peer_or_data_or_with_the_unknown_is_dropped() {
    let peer = (attribute::XOR_PEER_ADDRESS, &[0, 1, 1, 2, 0x29, 0x1a, 0xac, 0x4a][..]);
    let data = (attribute::DATA, &b"hi"[..]);
    let unknown = (0x7abd, &b""[..]);
    let mut relay = open_relay();
    for attributes in [&[][..], &[peer], &[data], &[peer, data, unknown]] {
        let mut buffer = [0; 100];
        let id = TransactionId([1; 12]);
        let mut writer = Writer::new(&mut buffer, Class::Indication, Method::Send, id);
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
        relay.from_client(ALICE, writer.finish()).expect_drop(Reason::BadIndication);
    }
}

#[test]
fn a_source_that_no_client_has_gets_no_answer() {
    let mut relay = Script::new();
    let request = encode(&relay.begin(BINDING, MessageClass::Request).build());
    let sources = [
        v4([1, 1, 1, 1], 0),
        v4([224, 0, 0, 1], 1),
        v4([255, 255, 255, 255], 1),
        v4([0, 0, 0, 0], 1),
        LISTENER,
        "[ff02::1]:1".parse().unwrap(),
        "[::]:1".parse().unwrap(),
    ];
    for source in sources {
        relay
            .datagram(At::Listener(ListenerId(0)), source, &request)
            .expect_drop(Reason::BadSource);
    }
}

#[test]
fn a_prefix_gets_its_burst_and_then_its_rate() {
    let mut relay = Script::with(|config| {
        config.unauthenticated_rate = 10;
        config.unauthenticated_burst = 20;
    });
    let request = encode(&relay.begin(BINDING, MessageClass::Request).build());
    let neighbour = |port| v4([1, 1, 1, 1], port);
    let listener = At::Listener(ListenerId(0));
    let answers = |relay: &mut Script| {
        let outcomes = (1..100).map(|port| relay.datagram(listener, neighbour(port), &request));
        outcomes.filter(|outcome| matches!(outcome, Outcome::Send { .. })).count()
    };
    assert_eq!(answers(&mut relay), 20);
    assert_eq!(answers(&mut relay), 0);
    assert_eq!(answers(relay.at(1.s())), 10);
    relay.datagram(listener, EVE, &request).expect_answer(Client { address: EVE, ..ALICE });
    assert_eq!(answers(relay.at(100.s())), 20);
    assert_eq!(relay.server.counters().drops(Reason::RateLimited), 79 + 99 + 89 + 79);
}

#[test]
fn an_ipv6_network_is_one_prefix_and_another_is_another() {
    let mut relay = Script::with(|config| {
        config.unauthenticated_rate = 1;
        config.unauthenticated_burst = 1;
    });
    let request = encode(&relay.begin(BINDING, MessageClass::Request).build());
    let mut is_answered = |source: &str| {
        let source = source.parse().unwrap();
        let outcome = relay.datagram(At::Listener(ListenerId(1)), source, &request);
        matches!(outcome, Outcome::Send { .. })
    };
    assert!(is_answered("[2001:db8:1:1::1]:1"));
    assert!(!is_answered("[2001:db8:1:1:ffff::2]:2"));
    assert!(is_answered("[2001:db8:1:2::1]:1"));
}

#[test]
fn an_ipv6_site_is_limited_however_many_networks_it_has() {
    let mut relay = Script::with(|config| {
        config.unauthenticated_site_rate = 5;
        config.unauthenticated_site_burst = 10;
    });
    let request = encode(&relay.begin(BINDING, MessageClass::Request).build());
    let answers = |relay: &mut Script, site: u16| {
        let from = |network: u16| format!("[2001:db8:{site:x}:{network:x}::1]:1").parse().unwrap();
        let listener = At::Listener(ListenerId(1));
        let outcomes = (0..100).map(|network| relay.datagram(listener, from(network), &request));
        outcomes.filter(|outcome| matches!(outcome, Outcome::Send { .. })).count()
    };
    assert_eq!(answers(&mut relay, 1), 10);
    assert_eq!(answers(&mut relay, 2), 10);
    assert_eq!(answers(relay.at(1.s()), 1), 5);
}

#[test]
fn an_authenticated_client_is_not_limited() {
    let mut relay = Script::with(|config| {
        config.unauthenticated_rate = 1;
        config.unauthenticated_burst = 1;
    });
    relay.try_allocate(ALICE, vec![]).expect_success();
    for _ in 0..50 {
        relay.try_permit(ALICE, &[BOB]).expect_success();
    }
}

#[test]
fn a_flood_of_unauthenticated_requests_leaves_no_state() {
    let mut relay = open_relay();
    let relayed = relay.relayed(ALICE);
    let request = encode(&relay.begin(ALLOCATE, MessageClass::Request).build());
    relay.effects();
    let before = relay.state();
    for source in 0..20_000_u32 {
        let [_, b, c, d] = source.to_be_bytes();
        relay.datagram(At::Listener(ListenerId(0)), v4([20, b, c, d], 1), &request);
        if source % 1000 == 0 {
            relay.channel_data(ALICE, 0x4000, b"hi").expect_to_peer(relayed, BOB, b"hi");
        }
    }
    assert_eq!(relay.server.counters().allocations_live(), 1);
    assert!(relay.state() == before, "the flood left something behind");
}

#[test]
fn a_flood_of_wrong_passwords_under_good_nonces_leaves_no_state() {
    let mut relay = Script::with(|config| {
        config.unauthenticated_rate = 0;
        config.secrets = vec![heliograph_base::Secret::from_text("north").unwrap()];
    });
    relay.try_allocate(ALICE, vec![]).expect_success();
    relay.effects();
    let before = relay.state();
    let guess = format!("{}:demo:p1:7", START + 600);
    let users = [ALICE.user, "nobody", guess.leak()];
    let attributes = [(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0][..])];
    for port in 1..1000 {
        let client = Client::of([20, 1, 1, 1], port, users[usize::from(port) % users.len()]);
        let client = Client { password: "guess", ..client };
        relay.ask_raw(client, Method::Allocate, &attributes).expect_error(401);
    }
    assert!(relay.state() == before, "the flood left something behind");
}

#[test]
fn every_datagram_is_counted_once() {
    let mut relay = open_relay();
    let before = *relay.server.counters();
    relay.channel_data(ALICE, 0x4000, b"12345");
    relay.from_peer(BOB, ALICE, b"123");
    relay.from_peer(EVE, ALICE, b"1");
    relay.try_refresh(ALICE, 600).expect_success();
    relay.try_permit(ALICE, &[v4([10, 0, 0, 1], 1)]).expect_error(403);
    let after = relay.server.counters();
    assert_eq!((after.client_to_peer.packets, after.client_to_peer.bytes), (1, 5));
    assert_eq!((after.peer_to_client.packets, after.peer_to_client.bytes), (1, 3));
    assert_eq!(after.drops_total() - before.drops_total(), 1);
    assert_eq!(after.drops(Reason::NoPermission), 1);
    assert_eq!(after.requests(Method::Refresh), 1);
    assert_eq!(after.successes() - before.successes(), 1);
    assert_eq!(after.errors(relay_core::wire::ErrorCode::Forbidden), 1);
    let mut sum = *after;
    sum += after;
    for (one, two) in after.samples().zip(sum.samples()) {
        assert_eq!((one.name, one.label, 2 * one.value), (two.name, two.label, two.value));
    }
}

#[test]
fn the_same_seed_and_inputs_give_the_same_outputs() {
    let run = || {
        let mut relay = open_relay();
        let mut outcomes: Vec<_> = Vec::new();
        for message in valid_messages(&mut relay) {
            outcomes.push(relay.from_client(ALICE, &message));
        }
        outcomes.push(relay.from_peer(BOB_AGAIN, ALICE, b"hi"));
        outcomes
    };
    assert_eq!(run(), run());
}

proptest! {
    #[test]
    fn random_bytes_never_panic_nor_get_much_back(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        is_stun in any::<bool>(),
    ) {
        let mut relay = open_relay();
        let mut bytes = bytes;
        if is_stun && bytes.len() >= 20 {
            let length = u16::try_from(bytes.len() - 20).unwrap() & !3;
            bytes.truncate(20 + usize::from(length));
            bytes[0] &= 0x01;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        }
        relay.from_client(ALICE, &bytes);
        relay.from_peer(BOB, ALICE, &bytes);
        if let Outcome::Send { bytes: answer, .. } = relay.from_client(CAROL, &bytes) {
            prop_assert!(answer.len() <= 4 * bytes.len());
        }
    }

    #[test]
    fn a_valid_message_with_changed_bytes_neither_panics_nor_harms(
        which in 0_usize..8,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut relay = open_relay();
        let mut message = valid_messages(&mut relay).swap_remove(which);
        for (place, value) in changes {
            let place = place.index(message.len());
            message[place] = value;
        }
        relay.from_client(ALICE, &message);
        relay.from_client(CAROL, &message);
        let relayed = relay.relayed(ALICE);
        relay.channel_data(ALICE, 0x4000, b"hi").expect_to_peer(relayed, BOB, b"hi");
        relay.from_peer(BOB, ALICE, b"hi").expect_channel_data(ALICE, 0x4000, b"hi");
    }
}
