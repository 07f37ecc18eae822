//! Writing answers: one place decides what each of them carries.

use super::Server;
use super::request::Request;
use super::stock::Family;
use super::tickets::Ticket;
use crate::wire::{Class, ErrorCode, Key, PasswordAlgorithm, Writer, attribute};
use crate::{At, ReservationToken, Scratch, Transmit, Verdict};
use std::net::SocketAddr;

/// What an answer says beside its class.
#[derive(Clone, Copy, Debug)]
pub(super) enum Success {
    Allocated(Allocated),
    Refreshed {
        lifetime_s: u32,
        /// A new one, if the client moved.
        ticket: Option<Ticket>,
    },
    Permitted,
    Bound,
    /// The answer comes later.
    Later,
}

/// What an Allocate got; kept for its retransmissions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allocated {
    pub(super) relayed: SocketAddr,
    /// The relayed transport address of the other family, or why there is none, if it was asked
    /// for.
    pub(super) other: Option<Result<SocketAddr, NoFamily>>,
    /// What the next address is to be had for, if it was asked for.
    pub(super) reserved: Option<ReservationToken>,
    pub(super) lifetime_s: u32,
    pub(super) ticket: Option<Ticket>,
}

impl Allocated {
    /// One address, and nothing beside it.
    pub(super) const fn one(relayed: SocketAddr, lifetime_s: u32) -> Self {
        Self { relayed, other: None, reserved: None, lifetime_s, ticket: None }
    }
}

/// Why an address of a family isn't there: ADDRESS-ERROR-CODE. RFC 8656 §18.12.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoFamily {
    pub(super) family: Family,
    pub(super) code: ErrorCode,
}

impl Server {
    /// Answers a request whose sender has shown who it is.
    pub(super) fn answer<'a>(
        &mut self,
        request: &Request<'_>,
        key: &Key,
        outcome: Result<Success, ErrorCode>,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let mut writer = match outcome {
            Ok(success) => self.begin_success(request, success, scratch),
            Err(code) => {
                let mut writer = self.begin_error(request, code, scratch);
                writer.error_code(code, code.phrase());
                if code == ErrorCode::UnknownAttribute {
                    unknown_attributes(&mut writer, request);
                }
                if code == ErrorCode::TryAlternate {
                    let family = Family::of(request.client.address.ip());
                    // RFC 8489 §10: at least one "of the same family as the source IP address of
                    // the request message", and one of the other family "after the mandatory one".
                    let all = [family, family.other()];
                    for alternate in all.iter().filter_map(|of| self.alternate(request, *of)) {
                        writer.plain_address(attribute::ALTERNATE_SERVER, alternate);
                    }
                    if let Some(domain) = self.alternate_domain(request) {
                        writer.attribute(attribute::ALTERNATE_DOMAIN, domain.as_bytes());
                    }
                }
                writer
            }
        };
        self.write_software(&mut writer);
        if request.wants_sha256() {
            writer.integrity_sha256(key);
        } else {
            writer.integrity(key);
        }
        finish(request, writer)
    }

    /// Refuses a Binding.
    pub(super) fn refuse_binding<'a>(
        &mut self,
        request: &Request<'_>,
        code: ErrorCode,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let mut writer = self.begin_error(request, code, scratch);
        writer.error_code(code, "");
        if code == ErrorCode::UnknownAttribute {
            unknown_attributes(&mut writer, request);
        }
        finish(request, writer)
    }

    /// Refuses a request whose sender hasn't shown who it is, in as few bytes as will do.
    pub(super) fn refuse<'a>(
        &mut self,
        request: &Request<'_>,
        code: ErrorCode,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let mut writer = self.begin_error(request, code, scratch);
        writer.error_code(code, "");
        if matches!(code, ErrorCode::Unauthorized | ErrorCode::StaleNonce) {
            let nonce = self.nonces.make(request.now.time, request.client);
            writer.attribute(attribute::REALM, self.config.realm.as_bytes());
            writer.attribute(attribute::NONCE, &nonce);
            // The nonce says that they come with it: RFC 8489 §9.2.5 has a client that finds none
            // "MUST NOT retry the request", since somebody on the way took them out.
            writer.attribute(attribute::PASSWORD_ALGORITHMS, &PasswordAlgorithm::LIST);
        }
        finish(request, writer)
    }

    fn begin_success<'a>(
        &mut self,
        request: &Request<'_>,
        success: Success,
        scratch: &'a mut Scratch,
    ) -> Writer<'a> {
        self.counters.count_success();
        let mut writer = begin(request, Class::Success, scratch);
        match success {
            Success::Allocated(Allocated { relayed, other, reserved, lifetime_s, ticket }) => {
                writer.xor_address(attribute::XOR_RELAYED_ADDRESS, relayed);
                match other {
                    Some(Ok(other)) => writer.xor_address(attribute::XOR_RELAYED_ADDRESS, other),
                    Some(Err(none)) => writer.address_error(none.family.number(), none.code),
                    None => {}
                }
                if let Some(ReservationToken(token)) = reserved {
                    writer.attribute(attribute::RESERVATION_TOKEN, &token);
                }
                writer.attribute(attribute::LIFETIME, &lifetime_s.to_be_bytes());
                writer.xor_address(attribute::XOR_MAPPED_ADDRESS, request.client.address);
                self.write_ticket(&mut writer, ticket);
            }
            Success::Refreshed { lifetime_s, ticket } => {
                writer.attribute(attribute::LIFETIME, &lifetime_s.to_be_bytes());
                self.write_ticket(&mut writer, ticket);
            }
            Success::Permitted | Success::Bound | Success::Later => {}
        }
        writer
    }

    pub(super) fn write_software(&self, writer: &mut Writer<'_>) {
        if !self.config.software.is_empty() {
            writer.attribute(attribute::SOFTWARE, self.config.software.as_bytes());
        }
    }

    fn write_ticket(&self, writer: &mut Writer<'_>, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            writer.attribute(attribute::MOBILITY_TICKET, &self.sealer.seal(ticket));
        }
    }

    fn begin_error<'a>(
        &mut self,
        request: &Request<'_>,
        code: ErrorCode,
        scratch: &'a mut Scratch,
    ) -> Writer<'a> {
        self.counters.count_error(code);
        begin(request, Class::Error, scratch)
    }
}

fn begin<'a>(request: &Request<'_>, class: Class, scratch: &'a mut Scratch) -> Writer<'a> {
    Writer::new(&mut scratch.bytes, class, request.method, request.transaction())
}

fn unknown_attributes(writer: &mut Writer<'_>, request: &Request<'_>) {
    let mut value = [0; 16];
    let kinds = request.fields.unknown.kinds();
    for (place, kind) in value.chunks_exact_mut(2).zip(kinds) {
        place.copy_from_slice(&kind.to_be_bytes());
    }
    writer.attribute(attribute::UNKNOWN_ATTRIBUTES, &value[..2 * kinds.len()]);
}

fn finish<'a>(request: &Request<'_>, mut writer: Writer<'a>) -> Verdict<'a> {
    if request.message.has_fingerprint() {
        writer.fingerprint();
    }
    Verdict::Send(Transmit {
        via: At::Listener(request.client.listener),
        to: request.client.address,
        head: writer.finish(),
        body: &[],
        pad: 0,
        dont_fragment: false,
    })
}
