//! What is sent to both servers.

use super::client::{ALICE, CAROL, Client, Signer, UDP};
use relay_core::wire::{Class, Method, attribute};
use std::net::SocketAddr;

/// A name, and what a client does.
pub(crate) type Script = (&'static str, fn(&mut Client));

const LIFETIME: u16 = attribute::LIFETIME;
const DATA: (u16, &[u8]) = (attribute::DATA, b"hi");
const UNKNOWN: (u16, &[u8]) = (0x7abc, b"1234");
const OPTIONAL: (u16, &[u8]) = (0xcabc, b"12345");
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

pub(crate) const SCRIPTS: &[Script] = &[
    ("binding", |client| {
        client.unsigned(Class::Request, Method::Binding, &[]);
        client.unsigned(Class::Request, Method::Binding, &[OPTIONAL]);
        client.unsigned(Class::Request, Method::Binding, &[UNKNOWN]);
        client.unsigned(Class::Indication, Method::Binding, &[]);
        client.unsigned(Class::Success, Method::Binding, &[]);
        client.unsigned(Class::Error, Method::Binding, &[]);
    }),
    ("rubbish", |client| {
        client.raw(b"hello");
        client.raw(b"");
        client.raw(&[0; 20]);
        client.raw(&[0xff; 40]);
        client.raw(&header(0x0001, 4));
        client.raw(&[&header(0x0001, 0)[..], &[0; 4]].concat());
        client.raw(&[&header(0x0001, 2)[..], &[0; 2]].concat());
        client.raw(&[&header(0x0001, 8)[..], &[0x80, 0x22, 0, 9, 1, 2, 3, 4]].concat());
        client.raw(&header(0x0002, 0));
        client.raw(&header(0x0006, 0));
        client.raw(&header(0x000a, 0));
        client.raw(&header(0x0fff, 0));
    }),
    ("fingerprint", |client| {
        let mut bytes = client.message(Class::Request, Method::Binding, &[(0x8028, &[0; 4])]);
        client.raw(&bytes);
        bytes[20..24].copy_from_slice(&[0x80, 0x29, 0, 4]);
        client.raw(&bytes);
    }),
    ("a challenge", |client| {
        client.unsigned(Class::Request, Method::Allocate, &[]);
        client.unsigned(Class::Request, Method::Allocate, &[UDP]);
        client.unsigned(Class::Request, Method::Refresh, &[]);
        client.unsigned(Class::Request, Method::CreatePermission, &[]);
        client.unsigned(Class::Request, Method::ChannelBind, &[]);
        client.unsigned(Class::Request, Method::Allocate, &[UDP, UNKNOWN]);
        client.unsigned(Class::Request, Method::Allocate, &[(attribute::USERNAME, b"alice")]);
        client.unsigned(Class::Indication, Method::Allocate, &[UDP]);
    }),
    ("wrong credentials", |client| {
        client.ask_as(Signer { password: "guess", ..ALICE }, Method::Allocate, &[UDP]);
        client.ask_as(Signer { user: "nobody", ..ALICE }, Method::Allocate, &[UDP]);
        client.ask_as(Signer { user: "", ..ALICE }, Method::Allocate, &[UDP]);
        client.ask_as(Signer { realm: "other", ..ALICE }, Method::Allocate, &[UDP]);
    }),
    ("credentials cut short", |client| {
        let integrity = (attribute::MESSAGE_INTEGRITY, &[0; 20][..]);
        let (user, realm) =
            ((attribute::USERNAME, &b"alice"[..]), (attribute::REALM, &b"test"[..]));
        let nonce = (attribute::NONCE, &b"0123456789abcdef"[..]);
        for attributes in
            [&[UDP, integrity][..], &[UDP, user, integrity], &[UDP, user, realm, integrity]]
        {
            client.unsigned(Class::Request, Method::Allocate, attributes);
        }
        let made_up = [UDP, user, realm, nonce, integrity];
        client.unsigned(Class::Request, Method::Allocate, &made_up);
        let short = [UDP, user, realm, nonce, (attribute::MESSAGE_INTEGRITY, &[0; 16])];
        client.unsigned(Class::Request, Method::Allocate, &short);
    }),
    ("an allocation", |client| {
        client.allocate();
        client.again();
        client.allocate();
        client.ask_as(CAROL, Method::Allocate, &[UDP]);
    }),
    ("no transport", |client| client.ask(Method::Allocate, &[])),
    ("tcp", |client| client.ask(Method::Allocate, &[(UDP.0, &[6, 0, 0, 0])])),
    ("another transport", |client| client.ask(Method::Allocate, &[(UDP.0, &[99, 0, 0, 0])])),
    ("half a transport", |client| client.ask(Method::Allocate, &[(UDP.0, &[17])])),
    ("lifetime 0", |client| client.ask(Method::Allocate, &[UDP, (LIFETIME, &[0; 4])])),
    ("lifetime 1", |client| client.ask(Method::Allocate, &[UDP, (LIFETIME, &[0, 0, 0, 1])])),
    ("lifetime 1000", |client| client.ask(Method::Allocate, &[UDP, (LIFETIME, &[0, 0, 3, 232])])),
    ("lifetime for ever", |client| client.ask(Method::Allocate, &[UDP, (LIFETIME, &[255; 4])])),
    ("half a lifetime", |client| client.ask(Method::Allocate, &[UDP, (LIFETIME, &[0; 2])])),
    ("two lifetimes", |client| {
        let lifetimes = [UDP, (LIFETIME, &[0, 0, 3, 232]), (LIFETIME, &[0, 0, 7, 208])];
        client.ask(Method::Allocate, &lifetimes);
    }),
    ("ipv4", |client| client.ask(Method::Allocate, &[UDP, family(&[1, 0, 0, 0])])),
    ("ipv6", |client| client.ask(Method::Allocate, &[UDP, family(&[2, 0, 0, 0])])),
    ("ipx", |client| client.ask(Method::Allocate, &[UDP, family(&[3, 0, 0, 0])])),
    ("half a family", |client| client.ask(Method::Allocate, &[UDP, family(&[1])])),
    ("both families", |client| client.ask(Method::Allocate, &[UDP, (0x8000, &[2, 0, 0, 0])])),
    ("both and one family", |client| {
        client.ask(Method::Allocate, &[UDP, (0x8000, &[2, 0, 0, 0]), family(&[1, 0, 0, 0])]);
    }),
    ("additional ipv4", |client| client.ask(Method::Allocate, &[UDP, (0x8000, &[1, 0, 0, 0])])),
    ("even port", |client| client.ask(Method::Allocate, &[UDP, (attribute::EVEN_PORT, &[0])])),
    ("a pair", |client| client.ask(Method::Allocate, &[UDP, (attribute::EVEN_PORT, &[0x80])])),
    ("a wrong token", |client| {
        client.ask(Method::Allocate, &[UDP, (attribute::RESERVATION_TOKEN, &[1; 8])]);
    }),
    ("half a token", |client| {
        client.ask(Method::Allocate, &[UDP, (attribute::RESERVATION_TOKEN, &[1; 4])]);
    }),
    ("token and even port", |client| {
        let token = (attribute::RESERVATION_TOKEN, &[1; 8][..]);
        client.ask(Method::Allocate, &[UDP, token, (attribute::EVEN_PORT, &[0x80])]);
    }),
    ("unknown attributes", |client| {
        client.ask(Method::Allocate, &[UDP, UNKNOWN]);
        client.ask(Method::Allocate, &[UDP, OPTIONAL]);
        client.ask(Method::Refresh, &[UNKNOWN, (0x7abd, b"")]);
    }),
    ("an unexpected attribute", |client| {
        client.ask(Method::Allocate, &[UDP, (attribute::XOR_MAPPED_ADDRESS, &[0; 8])]);
    }),
    ("nothing to refresh", |client| {
        client.ask(Method::Refresh, &[]);
        client.permit(client.peer());
        client.bind(0x4000, client.peer());
    }),
    ("refreshes", |client| {
        client.allocate();
        client.ask(Method::Refresh, &[]);
        client.again();
        client.ask(Method::Refresh, &[(LIFETIME, &[0, 0, 3, 232])]);
        client.ask(Method::Refresh, &[family(&[2, 0, 0, 0])]);
        client.ask(Method::Refresh, &[(LIFETIME, &[0; 4])]);
        client.again();
    }),
    ("another user", |client| {
        client.allocate();
        client.ask_as(CAROL, Method::Refresh, &[]);
        let peer = client.xor(client.peer());
        client.ask_as(CAROL, Method::CreatePermission, &[(attribute::XOR_PEER_ADDRESS, &peer)]);
    }),
    ("an appended lifetime of 0", |client| {
        client.allocate();
        let mut bytes = client.signed(ALICE, Method::Refresh, &[]);
        bytes.extend([0, 0x0d, 0, 4, 0, 0, 0, 0]);
        let length = u16::try_from(bytes.len() - 20).unwrap();
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        client.raw(&bytes);
        client.permit(client.peer());
    }),
    ("permissions", |client| {
        client.allocate();
        client.ask(Method::CreatePermission, &[]);
        client.permit(client.peer());
        client.again();
        client.permit("[::1]:1".parse().unwrap());
        client.permit("224.0.0.1:1".parse().unwrap());
        client.permit("10.0.0.1:1".parse().unwrap());
        client.permit(SocketAddr::new(client.peer().ip(), 0));
        let peer = (attribute::XOR_PEER_ADDRESS, &[0, 1, 0][..]);
        client.ask(Method::CreatePermission, &[peer]);
        let peer = (attribute::XOR_PEER_ADDRESS, &[0, 3, 0, 0, 0, 0, 0, 0][..]);
        client.ask(Method::CreatePermission, &[peer]);
    }),
    ("channel numbers", |client| {
        client.allocate();
        for number in [0, 0x3fff, 0x8000, 0xffff] {
            client.bind(number, client.peer());
        }
        client.bind(0x4000, client.peer());
        client.again();
        client.bind(0x4001, client.peer());
        client.bind(0x4000, "127.0.0.1:4000".parse().unwrap());
        client.bind(0x4fff, "127.0.0.1:4001".parse().unwrap());
        client.bind(0x5000, "127.0.0.1:4002".parse().unwrap());
        client.bind(0x7fff, "127.0.0.1:4003".parse().unwrap());
        client.ask(Method::ChannelBind, &[(attribute::CHANNEL_NUMBER, &[0x40, 9, 0, 0])]);
        let peer = client.xor(client.peer());
        client.ask(Method::ChannelBind, &[(attribute::XOR_PEER_ADDRESS, &peer)]);
        client.bind(0x4010, "[::1]:1".parse().unwrap());
    }),
    ("send indications", |client| {
        client.allocate();
        client.send(client.peer(), &[DATA]);
        client.permit(client.peer());
        client.send(client.peer(), &[DATA]);
        client.send(client.peer(), &[(attribute::DATA, b"")]);
        client.send(client.peer(), &[]);
        client.send(client.peer(), &[DATA, UNKNOWN]);
        client.send(client.peer(), &[DATA, OPTIONAL]);
        client.send(client.peer(), &[DATA, (0x001a, b"")]);
    }),
    ("channel data", |client| {
        client.allocate();
        client.bind(0x4000, client.peer());
        client.channel_data(0x4000, b"hello");
        client.channel_data(0x4000, b"");
        client.channel_data(0x4001, b"hello");
        client.send_for_peer(&[0x40, 0, 0, 5, b'h']);
        client.send_for_peer(&[0x40, 0, 0, 1, b'h', 0, 0, 0]);
        client.send_for_peer(&[0x40, 0, 0, 1, b'h', 0, 0, 0, 0, 0, 0, 0]);
        client.send_for_peer(&[0x40, 0, 0]);
    }),
    ("from a peer", |client| {
        client.allocate();
        client.peer_sends(b"hi");
        client.permit(client.peer());
        client.peer_sends(b"hi");
        client.peer_sends(b"");
        client.bind(0x4000, client.peer());
        client.peer_sends(b"hi");
        client.peer_sends(b"");
    }),
    ("after the end", |client| {
        client.allocate();
        client.bind(0x4000, client.peer());
        client.ask(Method::Refresh, &[(LIFETIME, &[0; 4])]);
        client.channel_data(0x4000, b"hello");
        client.peer_sends(b"hi");
    }),
    ("data indications from a client", |client| {
        client.allocate();
        client.permit(client.peer());
        let peer = client.xor(client.peer());
        let attributes = [(attribute::XOR_PEER_ADDRESS, &peer[..]), DATA];
        client.unsigned(Class::Indication, Method::Data, &attributes);
        client.unsigned(Class::Request, Method::Send, &attributes);
    }),
];

const fn family(value: &[u8]) -> (u16, &[u8]) {
    (attribute::REQUESTED_ADDRESS_FAMILY, value)
}

fn header(message_type: u16, length: u16) -> Vec<u8> {
    let (message_type, length) = (message_type.to_be_bytes(), length.to_be_bytes());
    [&message_type[..], &length, &COOKIE, &[9; 12]].concat()
}
