//! Sentences of RFC 8489 and RFC 8656 that no other script is about. docs/conformance.md lists all.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use relay_core::wire::{Class, Message, Method, TransactionId, Writer, attribute};
use relay_core::{Config, InvalidConfig, Reason};
use script::*;
use stun_rs::methods::{ALLOCATE, BINDING};
use stun_rs::{MessageClass, StunMessage};

const UDP: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);

fn binding(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut buffer = [0; 200];
    let id = TransactionId([5; 12]);
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::Binding, id);
    for (kind, value) in attributes {
        writer.attribute(*kind, value);
    }
    writer.finish().to_vec()
}

fn has(message: &StunMessage, kind: u16) -> bool {
    message.attributes().iter().any(|attribute| attribute.attribute_type() == kind.into())
}

/// RFC 8656 §11.2: "a Send indication never causes the server to refresh the permission"; §12.6:
/// "the receipt of a ChannelData message MUST NOT refresh either the channel binding or the
/// permission towards the peer."
#[test]
fn data_refreshes_neither_permission_nor_channel() {
    let mut relay = Script::new().allocate(ALICE).bind(ALICE, 0x4000, BOB).permit(ALICE, EVE);
    let relayed = relay.relayed(ALICE);
    relay.try_refresh(ALICE, 3600).expect_success();
    relay.at(299.s()).channel_data(ALICE, 0x4000, b"hi").expect_to_peer(relayed, BOB, b"hi");
    relay.send(ALICE, EVE, b"hi").expect_to_peer(relayed, EVE, b"hi");
    relay.from_peer(BOB, ALICE, b"hi").expect_channel_data(ALICE, 0x4000, b"hi");
    relay.from_peer(EVE, ALICE, b"hi").expect_data_indication(ALICE, EVE, b"hi");
    relay.at(300.s()).channel_data(ALICE, 0x4000, b"hi").expect_drop(Reason::NoPermission);
    relay.send(ALICE, EVE, b"hi").expect_drop(Reason::NoPermission);
    relay.from_peer(EVE, ALICE, b"hi").expect_drop(Reason::NoPermission);
    relay.try_permit(ALICE, &[BOB]).expect_success();
    relay.at(599.s()).channel_data(ALICE, 0x4000, b"hi").expect_to_peer(relayed, BOB, b"hi");
    relay.at(600.s()).channel_data(ALICE, 0x4000, b"hi").expect_drop(Reason::NoChannel);
}

/// RFC 8656 §11.2: "the DATA attribute is allowed to contain zero bytes of data"; §12.6: "if the
/// Length field in the ChannelData message is 0, [...] the UDP datagram is still formed and sent".
#[test]
fn data_of_no_bytes_is_data() {
    let mut relay = Script::new().allocate(ALICE).bind(ALICE, 0x4000, BOB).permit(ALICE, EVE);
    let relayed = relay.relayed(ALICE);
    relay.send(ALICE, EVE, b"").expect_to_peer(relayed, EVE, b"");
    relay.channel_data(ALICE, 0x4000, b"").expect_to_peer(relayed, BOB, b"");
    relay.from_peer(BOB, ALICE, b"").expect_channel_data(ALICE, 0x4000, b"");
    relay.from_peer(EVE, ALICE, b"").expect_data_indication(ALICE, EVE, b"");
}

/// RFC 8656 §18.1, §18.6, §18.8: reserved fields "MUST be ignored on reception"; RFC 8489 §14.1:
/// "The first 8 bits of the MAPPED-ADDRESS MUST be set to 0 and MUST be ignored by receivers".
#[test]
fn reserved_bits_in_a_request_are_ignored() {
    let mut relay = Script::new();
    let transport: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[17, 1, 2, 3]);
    let family: (u16, &[u8]) = (attribute::REQUESTED_ADDRESS_FAMILY, &[1, 1, 2, 3]);
    relay.ask_raw(ALICE, Method::Allocate, &[transport, family]).expect_success();
    let peer: (u16, &[u8]) = (attribute::XOR_PEER_ADDRESS, &[9, 1, 1, 2, 0x29, 0x1a, 0xac, 0x4a]);
    let channel: (u16, &[u8]) = (attribute::CHANNEL_NUMBER, &[0x40, 0, 9, 9]);
    relay.ask_raw(ALICE, Method::ChannelBind, &[channel, peer]).expect_success();
}

/// RFC 8489 §14: "The padding bits MUST be set to zero on sending and MUST be ignored by the
/// receiver."
#[test]
fn padding_of_a_request_is_ignored() {
    let mut relay = Script::new();
    let mut request = binding(&[(0x8abc, b"1")]);
    let padding = request.len() - 3..;
    request[padding].copy_from_slice(&[1, 2, 3]);
    relay.from_client(ALICE, &request).expect_answer(ALICE).expect_success();
}

/// RFC 8489 §14: "The padding bits MUST be set to zero on sending".
#[test]
fn padding_of_an_answer_is_zero() {
    let mut relay = Script::new();
    let success = relay.try_allocate(ALICE, vec![]).expect_success();
    let error = relay.try_allocate(ALICE, vec![]).expect_error(437);
    let challenge = encode(&relay.begin(ALLOCATE, MessageClass::Request).build());
    let challenge = relay.from_client(CAROL, &challenge).expect_answer(CAROL);
    let unknown = relay.ask_raw(ALICE, Method::Refresh, &[(0x7abc, b"")]).expect_error(420);
    for answer in [success, error, challenge, unknown] {
        let mut at = 20;
        while at < answer.bytes.len() {
            let (high, low) = (answer.bytes[at + 2], answer.bytes[at + 3]);
            let length = usize::from(u16::from_be_bytes([high, low]));
            let (end, next) = (at + 4 + length, at + 4 + length + length.wrapping_neg() % 4);
            assert!(answer.bytes[end..next].iter().all(|byte| *byte == 0), "{:x?}", answer.bytes);
            at = next;
        }
    }
}

/// RFC 8489 §6.3: "Unknown comprehension-optional attributes MUST be ignored by the agent.
/// Known-but-unexpected attributes SHOULD be ignored by the agent."
#[test]
fn optional_and_unexpected_attributes_are_ignored() {
    let mut relay = Script::new();
    let unexpected: (u16, &[u8]) = (attribute::CHANNEL_NUMBER, &[0; 3]);
    let optional: (u16, &[u8]) = (0x8abc, b"optional");
    relay.ask_raw(ALICE, Method::Allocate, &[UDP, unexpected, optional]).expect_success();
    relay.ask_raw(ALICE, Method::Refresh, &[unexpected, optional]).expect_success();
    let request = binding(&[(attribute::LIFETIME, b""), optional]);
    relay.from_client(ALICE, &request).expect_answer(ALICE).expect_success();
}

/// RFC 8656 §5: "The server SHOULD include the SOFTWARE attribute in all Allocate and Refresh
/// responses (either success or failure)".
#[test]
fn answers_to_an_authenticated_client_name_the_software() {
    let mut relay = Script::new();
    let answers = [
        relay.try_allocate(ALICE, vec![]).expect_success(),
        relay.try_allocate(ALICE, vec![]).expect_error(437),
        relay.try_refresh(ALICE, 600).expect_success(),
        relay.try_refresh(CAROL, 600).expect_error(437),
    ];
    for answer in answers {
        assert!(has(&answer.message, attribute::SOFTWARE));
    }
}

/// RFC 8489 §16.1.2: it is up to the operator.
#[test]
fn the_software_is_what_the_operator_says_or_not_told() {
    let longest = "x".repeat(Config::SOFTWARE_BYTES_MAX);
    for software in ["Example Relay 1.2", &longest] {
        let mut relay = Script::with(|config| config.software = software.to_owned());
        let answer = relay.try_allocate(ALICE, vec![]).expect_success();
        let message = Message::parse(&answer.bytes).unwrap();
        let told = message.attributes().find(|(kind, _)| *kind == attribute::SOFTWARE);
        assert_eq!(told, Some((attribute::SOFTWARE, software.as_bytes())));
    }
    let mut silent = Script::with(|config| config.software = String::new());
    let answer = silent.try_allocate(ALICE, vec![]).expect_success();
    assert!(!has(&answer.message, attribute::SOFTWARE));
    let too_long = Config { software: longest + "x", ..config() };
    assert_eq!(too_long.check(), Err(InvalidConfig::Software));
}

/// RFC 8489 §9.2.4: the answers to requests that fail these checks "SHOULD NOT contain a USERNAME,
/// USERHASH, MESSAGE-INTEGRITY, or MESSAGE-INTEGRITY-SHA256 attribute", and a 400 no NONCE or
/// REALM.
#[test]
fn a_refusal_tells_nothing_about_the_user() {
    let mut relay = Script::new();
    let mallory = Client { password: "guess", ..ALICE };
    let wrong = relay.ask(mallory, ALLOCATE, vec![]).expect_error(401);
    let nonce = relay.nonce(ALICE);
    let stale = relay.signed_with_nonce(CAROL, ALLOCATE, vec![], &nonce);
    let stale = relay.from_client(CAROL, &stale).expect_answer(CAROL).expect_error(438);
    for answer in [wrong, stale] {
        for kind in [attribute::USERNAME, attribute::MESSAGE_INTEGRITY, 0x001c, 0x001e] {
            assert!(!has(&answer.message, kind), "{kind:#x} in {:?}", answer.message);
        }
        assert!(has(&answer.message, attribute::REALM) && has(&answer.message, attribute::NONCE));
    }
    let mut buffer = [0; 200];
    let id = TransactionId([5; 12]);
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::Allocate, id);
    writer.attribute(attribute::USERNAME, b"alice");
    writer.attribute(attribute::MESSAGE_INTEGRITY, &[0; 20]);
    let bad = relay.from_client(ALICE, writer.finish()).expect_answer(ALICE).expect_error(400);
    for kind in [attribute::USERNAME, attribute::NONCE, attribute::REALM] {
        assert!(!has(&bad.message, kind), "{kind:#x} in {:?}", bad.message);
    }
}

/// RFC 8489 §9.2.4: "The server MUST NOT choose the same NONCE for two requests unless they have
/// the same source IP address and port."
#[test]
fn two_clients_get_two_nonces() {
    let mut relay = Script::new();
    let neighbour = Client { address: v4([1, 1, 1, 1], 1112), ..ALICE };
    let other = Client { address: v4([1, 1, 1, 2], 1111), ..ALICE };
    let nonces = [ALICE, neighbour, other].map(|client| relay.nonce(client));
    assert!(nonces[0] != nonces[1] && nonces[0] != nonces[2] && nonces[1] != nonces[2]);
}

/// RFC 8489 §12: "It MAY utilize the FINGERPRINT mechanism but MUST NOT require it."; "SHOULD NOT
/// utilize the short-term or long-term credential mechanism".
#[test]
fn binding_needs_neither_fingerprint_nor_password() {
    let mut relay = Script::new();
    let answer = relay.from_client(ALICE, &binding(&[])).expect_answer(ALICE).expect_success();
    assert_eq!(answer.mapped(), ALICE.address);
    assert!(!answer.is_signed());
}

/// RFC 8489 §6.3.1: "The server MUST respond to retransmissions such that [...] the overall state
/// on the client and server is identical".
#[test]
fn requests_that_come_twice_do_no_more_than_once() {
    let mut relay = Script::new().allocate(ALICE);
    let peer: (u16, &[u8]) = (attribute::XOR_PEER_ADDRESS, &[0, 1, 1, 2, 0x29, 0x1a, 0xac, 0x4a]);
    let channel: (u16, &[u8]) = (attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0]);
    for (method, attributes) in [
        (Method::CreatePermission, &[peer][..]),
        (Method::ChannelBind, &[channel, peer]),
        (Method::Refresh, &[]),
    ] {
        let request = relay.signed_raw(ALICE, method, attributes);
        let first = relay.from_client(ALICE, &request);
        first.clone().expect_answer(ALICE).expect_success();
        let state = relay.state();
        assert_eq!(relay.from_client(ALICE, &request), first);
        assert_eq!(relay.state(), state);
    }
    let farewell = relay.signed_raw(ALICE, Method::Refresh, &[(attribute::LIFETIME, &[0; 4])]);
    relay.from_client(ALICE, &farewell).expect_answer(ALICE).expect_success();
    relay.from_client(ALICE, &farewell).expect_answer(ALICE).expect_error(437);
}

/// RFC 8656 §9: "The permissions for one allocation are totally unrelated to the permissions for a
/// different allocation"; §12: "the use of a channel number or peer transport address in a channel
/// binding in one allocation has no impact on their use in a different allocation".
#[test]
fn allocations_share_neither_permissions_nor_channels() {
    let mut relay = Script::new().allocate(ALICE).allocate(CAROL).bind(ALICE, 0x4000, BOB);
    relay.from_peer(BOB, CAROL, b"hi").expect_drop(Reason::NoPermission);
    relay.channel_data(CAROL, 0x4000, b"hi").expect_drop(Reason::NoChannel);
    relay.try_bind(CAROL, 0x4000, EVE).expect_success();
    relay.try_bind(CAROL, 0x4001, BOB).expect_success();
    let relayed = relay.relayed(ALICE);
    relay.channel_data(ALICE, 0x4000, b"hi").expect_to_peer(relayed, BOB, b"hi");
}

/// RFC 8656 §7.2: "the list of permissions and the list of channels are initially empty"; §9: "If
/// an allocation expires, all its permissions expire with it"; §12: so do its channels.
#[test]
fn permissions_and_channels_end_with_their_allocation() {
    let mut relay = Script::new().allocate(ALICE).bind(ALICE, 0x4000, BOB);
    relay.try_refresh(ALICE, 0).expect_success();
    relay.try_allocate(ALICE, vec![]).expect_success();
    relay.channel_data(ALICE, 0x4000, b"hi").expect_drop(Reason::NoChannel);
    relay.from_peer(BOB, ALICE, b"hi").expect_drop(Reason::NoPermission);
}

/// RFC 8656 §10.2: "If no such attribute exists, or if any of these attributes are invalid, then a
/// 400 (Bad Request) error is returned."
#[test]
fn a_permission_for_no_address_or_a_wrong_one_is_400() {
    let mut relay = Script::new().allocate(ALICE);
    let peer: (u16, &[u8]) = (attribute::XOR_PEER_ADDRESS, &[0, 1, 1, 2, 0x29, 0x1a, 0xac, 0x4a]);
    let wrong: (u16, &[u8]) = (attribute::XOR_PEER_ADDRESS, &[0, 3, 1, 2, 0x29, 0x1a, 0xac, 0x4a]);
    for attributes in [&[][..], &[wrong], &[peer, wrong]] {
        relay.ask_raw(ALICE, Method::CreatePermission, attributes).expect_error(400);
    }
    relay.from_peer(BOB, ALICE, b"hi").expect_drop(Reason::NoPermission);
    relay.ask_raw(ALICE, Method::CreatePermission, &[peer]).expect_success();
}

/// RFC 8656 §12.2: "The request contains both a CHANNEL-NUMBER and an XOR-PEER-ADDRESS attribute".
#[test]
fn half_a_channel_bind_is_400() {
    let mut relay = Script::new().allocate(ALICE);
    let peer: (u16, &[u8]) = (attribute::XOR_PEER_ADDRESS, &[0, 1, 1, 2, 0x29, 0x1a, 0xac, 0x4a]);
    let channel: (u16, &[u8]) = (attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0]);
    relay.ask_raw(ALICE, Method::ChannelBind, &[peer]).expect_error(400);
    relay.ask_raw(ALICE, Method::ChannelBind, &[channel]).expect_error(400);
    relay.ask_raw(ALICE, Method::ChannelBind, &[channel, peer]).expect_success();
}

/// RFC 8656 §6: "The relayed transport address MUST be unique across all allocations".
#[test]
fn no_two_allocations_have_one_address() {
    let mut relay = Script::new().allocate(ALICE).allocate(CAROL);
    assert_ne!(relay.relayed(ALICE), relay.relayed(CAROL));
    relay.open_port(RELAY_IP);
    let third = Client { address: EVE, ..ALICE };
    relay.try_allocate(third, vec![]).expect_success();
    let all = [ALICE, CAROL, third].map(|client| relay.relayed(client));
    assert!(all[2] != all[0] && all[2] != all[1]);
}

/// RFC 8489 §6.3.1.1: "The method of the response is the same as that of the request"; §6.3.1.2:
/// "the destination IP address and port of the response are the source IP address and port of the
/// received request message".
#[test]
fn an_answer_goes_back_to_its_request() {
    let mut relay = Script::new();
    for client in [ALICE, DAVE_V6] {
        let request = encode(&relay.begin(BINDING, MessageClass::Request).build());
        let answer = relay.from_client(client, &request).expect_to_client(client);
        let (request, answer) =
            (Message::parse(&request).unwrap(), Message::parse(&answer).unwrap());
        assert_eq!(answer.transaction(), request.transaction());
        assert_eq!(answer.method_number(), request.method_number());
    }
}

/// RFC 8489 §14.3: "A compliant implementation MUST be able to parse a UTF-8-encoded sequence of
/// 763 or fewer octets"; §14.9, §14.10: REALM and NONCE may be as long.
#[test]
fn the_longest_texts_are_read() {
    let mut relay = Script::new();
    let mut buffer = [0; 3000];
    let id = TransactionId([5; 12]);
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::Allocate, id);
    for kind in [attribute::USERNAME, attribute::REALM, attribute::NONCE] {
        writer.attribute(kind, &[b'x'; 763]);
    }
    writer.attribute(attribute::MESSAGE_INTEGRITY, &[0; 20]);
    relay.from_client(ALICE, writer.finish()).expect_answer(ALICE).expect_error(438);
}

/// RFC 8656 §8.2: if REQUESTED-ADDRESS-FAMILY "does not match the address family of the allocation,
/// the server MUST reply with a 443", also if it has no address of that family at all.
#[test]
fn a_refresh_of_a_family_that_the_relay_has_not_is_443() {
    let ports = relay_core::RelayedPorts::new([RELAY_IP]);
    let mut relay = Script::worker(config(), 0, ports.into()).allocate(ALICE);
    for family in [2, 3] {
        let family: (u16, &[u8]) = (attribute::REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0]);
        relay.ask_raw(ALICE, Method::Refresh, &[family]).expect_error(443);
    }
    relay.try_refresh(ALICE, 600).expect_success();
}
