//! Binding, and what RFC 5780 adds to it: a client that asks by which of our addresses the answer
//! leaves, and to which of its ports, finds out how its NAT behaves.
//!
//! Nobody has to show who it is, so this must not be of use to anybody else: an answer goes to the
//! IP address that asked, takes a token of the limiter like every other, carries no more PADDING
//! than came, and stays one.

use super::Server;
use super::request::{Fields, Request};
use crate::wire::{Class, ErrorCode, Writer, attribute};
use crate::{At, Listener, ListenerId, Reason, Scratch, Transmit, Verdict};
use std::net::SocketAddr;

/// The flags of CHANGE-REQUEST. RFC 5780 §7.2.
const CHANGE_IP: u8 = 0x04;
const CHANGE_PORT: u8 = 0x02;

/// The most PADDING in an answer: it brings a datagram past the MTU of most networks, which is what
/// it is for. RFC 5780 §7.6.
const PADDING_BYTES_MAX: usize = 1500;

/// The other three of four UDP listeners: two IP addresses with the same two ports each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alternates {
    other_port: ListenerId,
    other_ip: ListenerId,
    other_both: ListenerId,
}

impl Alternates {
    /// For each listener the other three, if it is one of such four.
    pub(super) fn of_all(listeners: &[Listener]) -> Box<[Option<Self>]> {
        listeners.iter().map(|own| Self::of(own, listeners)).collect()
    }

    fn of(own: &Listener, listeners: &[Listener]) -> Option<Self> {
        if own.transport.is_stream() {
            return None;
        }
        let at = |address: SocketAddr| {
            let is_it = |other: &Listener| other.local == address && !other.transport.is_stream();
            listeners.iter().position(is_it).and_then(|place| u16::try_from(place).ok())
        };
        let (ip, port) = (own.local.ip(), own.local.port());
        listeners.iter().map(|other| other.local).find_map(|other| {
            let is_opposite =
                other.ip() != ip && other.port() != port && other.is_ipv4() == own.local.is_ipv4();
            is_opposite.then_some(())?;
            Some(Self {
                other_port: ListenerId(at(SocketAddr::new(ip, other.port()))?),
                other_ip: ListenerId(at(SocketAddr::new(other.ip(), port))?),
                other_both: ListenerId(at(other)?),
            })
        })
    }
}

/// How the answer to a Binding goes.
#[derive(Clone, Copy, Debug)]
struct Way<'a> {
    via: ListenerId,
    to: SocketAddr,
    padding: Option<&'a [u8]>,
}

impl Server {
    /// The other three of the four listeners that this one belongs to.
    pub(super) fn alternates(&self, listener: ListenerId) -> Option<Alternates> {
        self.alternates.get(usize::from(listener.0)).copied().flatten()
    }

    /// Answers Binding, for which nobody has to show who it is.
    pub(super) fn answer_binding<'a>(
        &mut self,
        request: &Request<'a>,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let alternates = self.alternates(request.client.listener);
        let way = match way(request, alternates) {
            Ok(way) => way,
            Err(code) => return self.refuse_binding(request, code, scratch),
        };
        // Not by RESPONSE-PORT either: see `is_bad_source`.
        if self.is_bad_source(way.to) {
            return Verdict::Drop(Reason::BadSource);
        }
        self.counters.count_success();
        let (method, transaction) = (request.method, request.transaction());
        let mut writer = Writer::new(&mut scratch.bytes, Class::Success, method, transaction);
        writer.xor_address(attribute::XOR_MAPPED_ADDRESS, request.client.address);
        if let Some(alternates) = alternates {
            // RFC 5780 §6.1: "The server MUST include both MAPPED-ADDRESS and XOR-MAPPED-ADDRESS in
            // its Binding Response", and RESPONSE-ORIGIN, and OTHER-ADDRESS.
            writer.plain_address(attribute::MAPPED_ADDRESS, request.client.address);
            let told = |id| self.listener(id).advertised;
            writer.plain_address(attribute::RESPONSE_ORIGIN, told(way.via));
            writer.plain_address(attribute::OTHER_ADDRESS, told(alternates.other_both));
        }
        let (head, body, pad) = match way.padding {
            Some(padding) => (writer.finish_before_padding(padding.len()), padding, 0),
            None => {
                if request.message.has_fingerprint() {
                    writer.fingerprint();
                }
                (writer.finish(), &[][..], 0)
            }
        };
        let via = At::Listener(way.via);
        Verdict::Send(Transmit { via, to: way.to, head, body, pad, dont_fragment: false })
    }
}

fn way<'a>(request: &Request<'a>, alternates: Option<Alternates>) -> Result<Way<'a>, ErrorCode> {
    let Fields { change_request, response_port, padding, unknown, .. } = &request.fields;
    let client = request.client;
    let mut way = Way { via: client.listener, to: client.address, padding: None };
    if !unknown.kinds().is_empty() {
        return Err(ErrorCode::UnknownAttribute);
    }
    let Some(alternates) = alternates else {
        return Ok(way);
    };
    way.via = match change_request {
        None => client.listener,
        Some([0, 0, 0, flags]) => match (flags & CHANGE_IP != 0, flags & CHANGE_PORT != 0) {
            (false, false) => client.listener,
            (false, true) => alternates.other_port,
            (true, false) => alternates.other_ip,
            (true, true) => alternates.other_both,
        },
        Some(_) => return Err(ErrorCode::BadRequest),
    };
    match (response_port, padding) {
        (None, None) => {}
        (Some([high, low] | [high, low, _, _]), None) => {
            way.to.set_port(u16::from_be_bytes([*high, *low]));
        }
        (None, Some(padding)) => {
            let bytes = padding.len().min(PADDING_BYTES_MAX) / 4 * 4;
            way.padding = Some(&padding[..bytes]);
        }
        // Both together would send long datagrams to a port that never asked.
        (Some(_), _) => return Err(ErrorCode::BadRequest),
    }
    Ok(way)
}
