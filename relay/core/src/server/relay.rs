//! How data goes: client to peer, peer to client, and between two allocations of this relay.

use super::request::Request;
use super::table::{Slot, Way};
use super::{Client, Server};
use crate::wire::{ChannelData, Class, Method, TransactionId, Writer, attribute, padding};
use crate::{At, IcmpError, PortId, Reason, Scratch, Transmit, Verdict};
use heliograph_base::Now;
use std::net::SocketAddr;

/// What a client wants sent to a peer.
#[derive(Clone, Copy, Debug)]
struct Outgoing<'a> {
    peer: SocketAddr,
    body: &'a [u8],
    dont_fragment: bool,
}

impl Server {
    /// RFC 8656 §12.6.
    pub(super) fn handle_channel_data<'a>(
        &mut self,
        now: Now,
        client: Client,
        bytes: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let Ok(message) = ChannelData::parse(bytes) else {
            return Verdict::Drop(Reason::Malformed);
        };
        let Some(first) = self.table.of_client(client) else {
            return Verdict::Drop(Reason::NoAllocation);
        };
        self.note_data_from(client, first);
        let bound = |slot: Slot| {
            let peer = self.table.get(slot).peers.channel_peer(now.time, message.channel)?;
            Some((slot, peer))
        };
        match bound(first).or_else(|| bound(self.table.get(first).sibling?)) {
            Some((slot, peer)) => {
                let outgoing = Outgoing { peer, body: message.data, dont_fragment: false };
                self.send_to_peer(now, slot, outgoing, scratch)
            }
            None => Verdict::Drop(Reason::NoChannel),
        }
    }

    /// RFC 8656 §11.2. An indication never gets an answer.
    pub(super) fn handle_indication<'a>(
        &mut self,
        request: &Request<'a>,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        match request.method {
            // A client keeps its mapping in a NAT alive. RFC 8489 §11.
            Method::Binding => return Verdict::Done,
            Method::Send => {}
            Method::Allocate
            | Method::Refresh
            | Method::Data
            | Method::CreatePermission
            | Method::ChannelBind
            | Method::Connect
            | Method::ConnectionBind
            | Method::ConnectionAttempt => return Verdict::Drop(Reason::BadIndication),
        }
        let (Ok(peer), Some(data), []) =
            (request.peer(), request.fields.data, request.fields.unknown.kinds())
        else {
            return Verdict::Drop(Reason::BadIndication);
        };
        let Some(first) = self.table.of_client(request.client) else {
            return Verdict::Drop(Reason::NoAllocation);
        };
        // To a TCP peer data goes by a connection.
        if self.table.get(first).connections.is_some() {
            return Verdict::Drop(Reason::BadIndication);
        }
        self.note_data_from(request.client, first);
        match self.half_for(first, peer.ip()) {
            Some(slot) => {
                let dont_fragment = request.fields.dont_fragment.is_some();
                let outgoing = Outgoing { peer, body: data, dont_fragment };
                self.send_to_peer(request.now, slot, outgoing, scratch)
            }
            None => Verdict::Drop(Reason::NoPermission),
        }
    }

    /// Takes one datagram from a peer. RFC 8656 §11.3.
    pub(super) fn handle_peer<'a>(
        &mut self,
        now: Now,
        port: PortId,
        peer: SocketAddr,
        bytes: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let peer = SocketAddr::new(peer.ip(), peer.port()); // without the scope of IPv6
        let Some(slot) = self.table.of_port(port) else {
            return Verdict::Drop(Reason::NoAllocation);
        };
        let Some(permission) = self.table.get(slot).peers.permission(now.time, peer.ip()) else {
            return Verdict::Drop(Reason::NoPermission);
        };
        if !permission.on_network || self.is_denied_peer(peer) {
            return Verdict::Drop(Reason::PeerDenied);
        }
        let verdict = self.send_to_client(now, slot, peer, bytes, scratch);
        if let Verdict::Send(_) = verdict {
            self.counters.peer_to_client.count(bytes);
        }
        verdict
    }

    /// RFC 8656 §11.5. "For ICMP packets, the source IP address MUST NOT be checked against the
    /// permissions list as it would be for UDP packets. Instead, the server extracts the
    /// destination IP address from the encapsulated IP header", which is the peer's.
    pub(super) fn tell_icmp<'a>(
        &mut self,
        now: Now,
        port: PortId,
        peer: SocketAddr,
        error: IcmpError,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let peer = SocketAddr::new(peer.ip(), peer.port()); // without the scope of IPv6
        let Some(value) = icmp_value(peer, error) else {
            return Verdict::Drop(Reason::Icmp);
        };
        let Some(slot) = self.table.of_port(port) else {
            return Verdict::Drop(Reason::NoAllocation);
        };
        let allocation = self.table.get(slot);
        let client = allocation.client;
        if !allocation.record.wants_icmp {
            return Verdict::Drop(Reason::Icmp);
        }
        match allocation.peers.permission(now.time, peer.ip()) {
            Some(permission) if permission.on_network => {}
            Some(_) => return Verdict::Drop(Reason::PeerDenied),
            None => return Verdict::Drop(Reason::NoPermission),
        }
        let transaction = self.next_transaction();
        let buffer = &mut scratch.bytes;
        let mut writer = Writer::new(buffer, Class::Indication, Method::Data, transaction);
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        writer.attribute(attribute::ICMP, &value);
        Verdict::Send(Transmit {
            via: At::Listener(client.listener),
            to: client.address,
            head: writer.finish(),
            body: &[],
            pad: 0,
            dont_fragment: false,
        })
    }

    /// Takes data from the allocation `from` of this relay to the allocation `to` of this worker:
    /// what the network would do between them, and then what [`Self::handle_peer`] does.
    pub(super) fn deliver<'a>(
        &mut self,
        now: Now,
        from: SocketAddr,
        to: SocketAddr,
        body: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let Some(slot) = self.table.of_relayed(to) else {
            return Verdict::Drop(Reason::NoAllocation);
        };
        if self.table.get(slot).peers.permission(now.time, from.ip()).is_none() {
            return Verdict::Drop(Reason::NoPermission);
        }
        let verdict = self.send_to_client(now, slot, from, body, scratch);
        if let Verdict::Send(_) = verdict {
            self.counters.relay_to_relay.count(body);
        }
        verdict
    }

    fn send_to_peer<'a>(
        &mut self,
        now: Now,
        slot: Slot,
        outgoing: Outgoing<'a>,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let Outgoing { peer, body, dont_fragment } = outgoing;
        let allocation = self.table.get(slot);
        let (from, port) = (allocation.relayed, allocation.port);
        let Some(permission) = allocation.peers.permission(now.time, peer.ip()) else {
            return Verdict::Drop(Reason::NoPermission);
        };
        let on_network = permission.on_network;
        if !self.table.take_packet(now.time, slot, Way::FromClient, body) {
            return Verdict::Drop(Reason::OverRate);
        }
        match self.ports.owner(peer) {
            Some(worker) if worker == self.worker => {
                return self.deliver(now, from, peer, body, scratch);
            }
            Some(worker) => {
                self.counters.handed_over.count(body);
                return Verdict::Handover { worker, from, to: peer, body };
            }
            None => {}
        }
        if !on_network || self.is_denied_peer(peer) {
            return Verdict::Drop(Reason::PeerDenied);
        }
        self.counters.client_to_peer.count(body);
        let via = At::Port(port);
        Verdict::Send(Transmit { via, to: peer, head: &[], body, pad: 0, dont_fragment })
    }

    /// By the channel to the peer if there is one, else in a Data indication.
    fn send_to_client<'a>(
        &mut self,
        now: Now,
        slot: Slot,
        peer: SocketAddr,
        body: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let allocation = self.table.get(slot);
        let client = allocation.client;
        let channel = allocation.peers.channel_to(now.time, peer);
        if !self.table.take_packet(now.time, slot, Way::ToClient, body) {
            return Verdict::Drop(Reason::OverRate);
        }
        let is_stream = self.listener(client.listener).transport.is_stream();
        let (head, pad) = match (channel, u16::try_from(body.len())) {
            (Some(channel), Ok(length)) => {
                let head = &mut scratch.bytes[..ChannelData::HEADER_BYTES];
                head.copy_from_slice(&ChannelData::header(channel, length));
                // RFC 8656 §12.5: padded over streams; "over UDP, the padding is not required".
                (&*head, if is_stream { padding(body.len()) } else { 0 })
            }
            (None, Ok(_)) if body.len() <= Writer::DATA_BYTES_MAX => {
                let transaction = self.next_transaction();
                let buffer = &mut scratch.bytes;
                let mut writer = Writer::new(buffer, Class::Indication, Method::Data, transaction);
                writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
                (writer.finish_before_data(body.len()), padding(body.len()))
            }
            (Some(_) | None, Ok(_) | Err(_)) => return Verdict::Drop(Reason::TooLong),
        };
        let via = At::Listener(client.listener);
        let dont_fragment = false;
        Verdict::Send(Transmit { via, to: client.address, head, body, pad, dont_fragment })
    }

    pub(super) fn next_transaction(&mut self) -> TransactionId {
        self.indications += 1;
        let hash = self.indication_hasher.hash_one(self.indications);
        let mut id = [0; 12];
        id[..8].copy_from_slice(&hash.to_be_bytes());
        id[8..].copy_from_slice(&self.indications.to_be_bytes()[4..]);
        TransactionId(id)
    }
}

/// The value of the ICMP attribute; nothing for a kind that isn't relayed.
///
/// RFC 8656 §11.5: "the server verifies that the type is either 3 or 11 for an ICMPv4 packet or
/// either 1, 2, or 3 for an ICMPv6 packet". §18.13: 16 bits of zero, 7 of type, 9 of code; then the
/// MTU if a datagram was too big, else "the Error Data field MUST be set to zero".
fn icmp_value(peer: SocketAddr, error: IcmpError) -> Option<[u8; 8]> {
    let IcmpError { kind, code, mtu } = error;
    let (is_relayed, is_too_big) = if peer.is_ipv4() {
        (matches!(kind, 3 | 11), (kind, code) == (3, 4))
    } else {
        (matches!(kind, 1..=3), kind == 2)
    };
    let [m0, m1, m2, m3] = if is_too_big { mtu.to_be_bytes() } else { [0; 4] };
    is_relayed.then_some([0, 0, kind << 1, code, m0, m1, m2, m3])
}
