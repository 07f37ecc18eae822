//! Data and ICMP errors, and whether they may go where they go.

use super::Program;
use crate::clients::may_be_peer;
use crate::input::Input;
use crate::model::{Asked, Cause};
use crate::read::{carries, find, read};
use crate::world::{Outcome, Passage};
use relay_core::wire::{ChannelData, ChannelNumber, Class, Method, Writer, attribute};
use relay_core::{At, IcmpError, PortId};
use std::net::SocketAddr;

impl Program {
    pub(super) fn send_indication(&mut self, who: usize, input: &mut Input<'_>) {
        let transaction = self.next_transaction();
        self.transactions += 1;
        let mut buffer = [0; 512];
        let mut writer = Writer::new(&mut buffer, Class::Indication, Method::Send, transaction);
        writer.xor_address(attribute::XOR_PEER_ADDRESS, self.peer(input));
        let length = usize::from(input.byte());
        writer.attribute(attribute::DATA, input.bytes(length));
        let message = writer.finish().to_vec();
        self.client(who, &message);
    }

    pub(super) fn channel_data(&mut self, who: usize, input: &mut Input<'_>) {
        let number = ChannelNumber::new(channel_number(input));
        let number = number.or(ChannelNumber::new(0x4000)).expect("the first channel");
        let length = usize::from(input.byte());
        let data = input.bytes(length);
        let announced = u16::try_from(data.len()).expect("it is short");
        let message = [&ChannelData::header(number, announced), data].concat();
        self.client(who, &message);
    }

    /// What a client sent goes to a peer, or inside the relay to another client.
    pub(super) fn check_data(&self, (worker, asked): (usize, Asked<'_>), passage: &Passage) {
        let now = self.world.elapsed;
        let Outcome::Send { via, to, bytes } = &passage.outcome else {
            return;
        };
        let own = self.model.ports_of(worker, asked.place);
        match *via {
            At::Port(port) => {
                assert_eq!(passage.handed_over, None, "it goes to a client");
                assert!(self.model.may_send(worker, asked.place, port), "{port:?} is another's");
                assert!(self.model.may_talk(now, port, to.ip()), "{to} has no permission");
                assert!(may_be_peer(*to), "{to} is denied");
                assert!(self.world.shared.owner(*to).is_none(), "{to} is an allocation's");
                let mut parts = asked.bytes.windows(bytes.len().max(1));
                assert!(bytes.is_empty() || parts.any(|part| part == bytes));
            }
            At::Listener(_) => {
                let is_way = |from: Sender, receiver: PortId| {
                    let allows = |port, peer| self.model.may_talk(now, port, peer);
                    let to = self.world.socket(receiver).expect("it is live").address;
                    allows(from.0, to.ip()) && allows(receiver, from.1.ip())
                };
                let mut receivers = self.model.ports(false).into_iter();
                let found = receivers.any(|receiver| {
                    let is_receiver = self.model.is_owner(receiver, *via, *to);
                    is_receiver && own.iter().any(|from| is_way(*from, receiver))
                });
                assert!(found, "{to} has no business with {own:?}");
            }
        }
        if let Some((from, to)) = passage.handed_over {
            assert!(own.iter().any(|(_, address)| *address == from), "{from} isn't the sender's");
            let receiver = self.model.port_at(to).expect("an allocation's");
            let Outcome::Send { via, to, .. } = &passage.outcome else { return };
            assert!(self.model.is_owner(receiver, *via, *to));
        }
    }

    pub(super) fn peer_data(&mut self, input: &mut Input<'_>) {
        let port = self.udp_port(input);
        let peer = self.peer(input);
        let length = usize::from(input.byte());
        let data = input.bytes(length);
        let now = self.world.elapsed;
        let outcome = self.world.peer_sends(port, peer, data);
        let events = self.world.events();
        self.model.note(now, Cause::Time, &events);
        if let Outcome::Send { via, to, bytes } = outcome {
            assert!(self.model.may_talk(now, port, peer.ip()), "{peer} has no permission");
            assert!(may_be_peer(peer), "{peer} is denied");
            assert!(self.model.is_owner(port, via, to), "{to} isn't the client of {port:?}");
            carries(via, &bytes, data);
        }
    }

    pub(super) fn icmp(&mut self, input: &mut Input<'_>) {
        let port = self.udp_port(input);
        let peer = self.peer(input);
        let error = IcmpError {
            kind: input.byte(),
            code: input.byte(),
            mtu: u32::from_be_bytes(input.array()),
        };
        let now = self.world.elapsed;
        let outcome = self.world.icmp(port, peer, error);
        let events = self.world.events();
        self.model.note(now, Cause::Time, &events);
        if let Outcome::Send { via, to, bytes } = outcome {
            assert!(self.model.may_talk(now, port, peer.ip()), "{peer} has no permission");
            assert!(self.model.is_owner(port, via, to), "{to} isn't the client of {port:?}");
            let message = read(&bytes);
            assert_eq!((message.class(), message.method_number()), (Class::Indication, 0x007));
            assert!(find(&message, attribute::ICMP).is_some());
            assert_eq!(find(&message, attribute::DATA), None);
        }
    }

    /// Data from an allocation of another worker, as if there were a third one.
    pub(super) fn hand_over(&mut self, input: &mut Input<'_>) {
        let (from, to) = (self.peer(input), self.peer(input));
        let length = usize::from(input.byte());
        let data = input.bytes(length);
        let (now, worker) = (self.world.elapsed, length % 2);
        let outcome = self.world.handover(worker, from, to, data);
        let events = self.world.events();
        self.model.note(now, Cause::Time, &events);
        if let Outcome::Send { via, to: client, bytes } = outcome {
            let port = self.model.port_at(to).expect("data for an own address");
            assert!(self.model.may_talk(now, port, from.ip()));
            assert!(self.model.is_owner(port, via, client));
            carries(via, &bytes, data);
        }
    }

    /// A live UDP port, or any if there is none.
    fn udp_port(&self, input: &mut Input<'_>) -> PortId {
        let (ports, choice) = (self.model.ports(false), usize::from(input.byte()));
        match ports.len() {
            0 => PortId(u32::try_from(choice % self.world.ids()).expect("a byte")),
            live => ports[choice % live],
        }
    }
}

/// A relay port and its address.
type Sender = (PortId, SocketAddr);

pub(super) fn channel_number(input: &mut Input<'_>) -> u16 {
    match input.byte() % 8 {
        7 => input.word(),
        few => 0x4000 + u16::from(few % 4),
    }
}
