//! Clients that are sent to another server. RFC 8489 §10.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use relay_core::wire::{Message, attribute};
use relay_core::{Config, InvalidConfig};
use script::*;
use std::net::SocketAddr;
use stun_rs::attributes::stun::AlternateServer;

const OTHER: SocketAddr = v4([192, 0, 2, 7], 3478);
const ANOTHER: SocketAddr = v4([192, 0, 2, 8], 3478);
const OTHER_V6: SocketAddr = v6(7, 3479);

fn relay(alternates: &[SocketAddr]) -> Script {
    let alternates = alternates.to_vec();
    Script::with(|config| config.alternate_servers = alternates)
}

/// RFC 8489 §14.8: 300 "MUST only be sent if the request included either a USERNAME or USERHASH
/// attribute and a valid MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 attribute [...] This error
/// response MUST be protected with the MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 attribute".
#[test]
fn who_has_shown_who_it_is_is_sent_on_and_nobody_else() {
    let mut relay = relay(&[OTHER]);
    let answer = relay.try_allocate(ALICE, vec![]).expect_error(300);
    assert!(answer.is_signed());
    let alternate = answer.message.get::<AlternateServer>().unwrap().expect_alternate_server();
    assert_eq!(*alternate.socket_address(), OTHER);
    relay.try_allocate(Client { password: "wrong", ..ALICE }, vec![]).expect_error(401);
    assert_eq!(relay.effects(), []);
}

/// RFC 8489 §10: "The server MUST include at least one ALTERNATE-SERVER attribute in the error
/// response, which MUST contain an IP address of the same family as the source IP address of the
/// request message. The server SHOULD include an additional ALTERNATE-SERVER attribute, after the
/// mandatory one, that contains an IP address of the other family".
#[test]
fn the_alternate_is_of_the_clients_family_and_one_of_the_other_follows() {
    let mut relay = relay(&[OTHER, OTHER_V6]);
    let mut lengths = |client| {
        let answer = relay.try_allocate(client, vec![]).expect_error(300);
        let message = Message::parse(&answer.bytes).unwrap();
        let all = message.attributes().filter(|(kind, _)| *kind == attribute::ALTERNATE_SERVER);
        all.map(|(_, value)| value.len()).collect::<Vec<_>>()
    };
    assert_eq!(lengths(ALICE), [8, 20]);
    assert_eq!(lengths(DAVE_V6), [20, 8]);
}

#[test]
fn a_client_without_an_alternate_of_its_family_is_served() {
    let mut relay = relay(&[OTHER_V6]);
    relay.try_allocate(ALICE, vec![]).expect_success();
    relay.try_allocate(DAVE_V6, vec![]).expect_error(300);
}

#[test]
fn one_client_is_always_sent_to_the_same_server_and_many_to_all() {
    let mut relay = relay(&[OTHER, ANOTHER]);
    let mut seen = Vec::new();
    for port in 1..40 {
        let client = Client { address: v4([5, 5, 5, 5], port), ..ALICE };
        let mut ask = || {
            let answer = relay.try_allocate(client, vec![]).expect_error(300);
            let alternate = answer.message.get::<AlternateServer>().unwrap();
            *alternate.expect_alternate_server().socket_address()
        };
        let first = ask();
        assert_eq!(ask(), first);
        seen.push(first);
    }
    assert!(seen.contains(&OTHER) && seen.contains(&ANOTHER));
}

#[test]
fn a_relay_that_would_send_clients_to_itself_is_refused() {
    let config = |alternate| Config { alternate_servers: vec![alternate], ..config() };
    assert_eq!(config(LISTENER).check(), Err(InvalidConfig::AlternateServer));
    assert_eq!(config(v4([192, 0, 2, 7], 0)).check(), Err(InvalidConfig::AlternateServer));
    assert_eq!(config(OTHER).check(), Ok(()));
}

#[test]
fn an_alternate_domain_is_a_dns_name() {
    for (domain, outcome) in [
        ("turn-2.example.org", Ok(())),
        ("", Err(InvalidConfig::AlternateDomain)),
        ("a..b", Err(InvalidConfig::AlternateDomain)),
        ("a b", Err(InvalidConfig::AlternateDomain)),
    ] {
        let alternate_domain = Some(domain.to_owned());
        assert_eq!(Config { alternate_domain, ..config() }.check(), outcome, "{domain}");
    }
}
