//! A relay with two workers and clients with passwords: programs of valid and bent operations in
//! virtual time, held against a naive model of who has what and may reach whom.

mod connections;
mod data;
mod ends;

use crate::clients::{CLIENTS, PEERS, place, sign, worker_of};
use crate::input::Input;
use crate::model::{
    Asked, CONNECTIONS_MAX, Cause, Model, Place, REDIRECTS_MAX, RESERVATIONS_MAX, limit,
};
use crate::read::{answer_class, encoded, find, is_answer, read};
use crate::world::{LISTENERS, Outcome, World, address};
use relay_core::At;
use relay_core::wire::{Class, Method, TransactionId, Writer, attribute};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// The most steps of one program, so that no input is slow.
const STEPS_MAX: usize = 200;

const WORKERS: u8 = 2;

/// Values of REQUESTED-TRANSPORT.
const UDP: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
const TCP: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);

/// What an Allocate asks for beside a port.
const TICKET: (u16, &[u8]) = (attribute::MOBILITY_TICKET, &[]);
const PAIR: (u16, &[u8]) = (attribute::EVEN_PORT, &[0x80]);
const BOTH_FAMILIES: (u16, &[u8]) = (attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);

/// Runs a program of operations.
///
/// # Panics
/// If the relay sends or gives what it must not, keeps what is over, or loses count.
pub fn authenticated(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut program = Program::new();
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        program.step(&mut input);
        program.model.check(&program.world);
    }
    // Half of the time goes there.
    program.finish(bytes.len().is_multiple_of(4));
}

struct Program {
    world: World,
    model: Model,
    nonces: HashMap<Place, Vec<u8>>,
    transactions: u64,
    last: Option<(usize, Vec<u8>)>,
}

impl Program {
    fn new() -> Self {
        let world = World::new(WORKERS, 2, |config| {
            config.permissions_max = 4;
            config.channels_max = 3;
            config.tcp_connections_max = CONNECTIONS_MAX;
            config.redirects_max = REDIRECTS_MAX;
            (config.reservations_max, config.reservations_per_holder_max) = RESERVATIONS_MAX;
            limit(config);
        });
        let model = Model::default();
        let mut program =
            Self { world, model, nonces: HashMap::new(), transactions: 0, last: None };
        for worker in 0..WORKERS.into() {
            for _ in 0..3 {
                program.world.open_port(worker, own_ip(0), false);
                program.world.open_port(worker, own_ip(1), false);
            }
            program.world.open_port(worker, own_ip(0), true);
        }
        program
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let (what, choice) = (input.byte(), usize::from(input.byte()));
        let who = choice % CLIENTS.len();
        match what % 32 {
            0 => self.wait(input),
            1 => self.world.open_port(choice / 2 % 2, own_ip(choice % 2), choice & 4 != 0),
            2 | 3 => self.request(who, Method::Allocate, &[UDP], input),
            4 => {
                let lifetime = u32::from(input.word()).to_be_bytes();
                self.request(who, Method::Refresh, &[(attribute::LIFETIME, &lifetime)], input);
            }
            5 | 6 => self.create_permission(who, input),
            7 | 8 => self.bind_channel(who, input),
            9 => self.send_indication(who, input),
            10 => self.channel_data(who, input),
            11 | 12 => self.peer_data(input),
            13 => {
                let method = input.choose(&Method::ALL);
                self.request(who, method, &[], input);
            }
            14 => self.bend(input),
            15 => self.icmp(input),
            16 => self.hand_over(input),
            17 => self.request(who, Method::Allocate, &[TCP], input),
            18 => self.connect(who, input),
            19 => self.peer_connected(input),
            20 => self.peer_accepted(input),
            21 => self.bind_connection(who, input),
            22 => self.peer_closed(input),
            23 => self.request(who, Method::Allocate, &[UDP, TICKET], input),
            24 | 25 => self.refresh_with_ticket(who, input),
            26 => self.request(who, Method::Allocate, &[UDP, PAIR], input),
            27 => self.redeem(who, input),
            28 => self.world.open_pair(choice / 2 % 2, own_ip(choice % 2)),
            29 => self.revoke(choice),
            30 => self.request(who, Method::Allocate, &[UDP, BOTH_FAMILIES, TICKET], input),
            _ => self.client_gone(who),
        }
    }

    fn create_permission(&mut self, who: usize, input: &mut Input<'_>) {
        let count = input.byte() % 3 + 1;
        let transaction = self.next_transaction();
        let peers: Vec<Vec<u8>> =
            (0..count).map(|_| encoded(self.peer(input), &transaction)).collect();
        let attributes: Vec<_> =
            peers.iter().map(|peer| (attribute::XOR_PEER_ADDRESS, &peer[..])).collect();
        self.request(who, Method::CreatePermission, &attributes, input);
    }

    fn bind_channel(&mut self, who: usize, input: &mut Input<'_>) {
        let [high, low] = data::channel_number(input).to_be_bytes();
        let transaction = self.next_transaction();
        let peer = encoded(self.peer(input), &transaction);
        let attributes: [(u16, &[u8]); 2] =
            [(attribute::CHANNEL_NUMBER, &[high, low, 0, 0]), (attribute::XOR_PEER_ADDRESS, &peer)];
        self.request(who, Method::ChannelBind, &attributes, input);
    }

    /// A Refresh with a ticket of somebody's: 0 for the last that was given, 1 for the one before;
    /// by a bit a farewell.
    fn refresh_with_ticket(&mut self, who: usize, input: &mut Input<'_>) {
        let choice = input.byte();
        let tickets = self.model.tickets().iter().rev();
        let Some(ticket) = tickets.cycle().nth((choice & 0x0f).into()).cloned() else {
            return;
        };
        let mut attributes = vec![(attribute::MOBILITY_TICKET, &ticket[..])];
        if choice & 0x80 != 0 {
            attributes.push((attribute::LIFETIME, &[0; 4]));
        }
        self.request(who, Method::Refresh, &attributes, input);
    }

    /// An Allocate with a token that somebody was given.
    fn redeem(&mut self, who: usize, input: &mut Input<'_>) {
        let tokens = self.model.tokens().iter().rev();
        let Some(token) = tokens.cycle().nth((input.byte() % 4).into()).copied() else {
            return;
        };
        let token = (attribute::RESERVATION_TOKEN, &token.0[..]);
        self.request(who, Method::Allocate, &[UDP, token], input);
    }

    /// Sends the last message again, some of its bytes changed.
    fn bend(&mut self, input: &mut Input<'_>) {
        let Some((who, mut message)) = self.last.clone() else {
            return;
        };
        for _ in 0..input.byte() % 4 {
            let place = usize::from(input.word()) % message.len();
            message[place] = input.byte();
        }
        self.client(who, &message);
    }

    /// A signed request with attributes of the operation, and maybe some of the fuzzer's.
    fn request(
        &mut self,
        who: usize,
        method: Method,
        attributes: &[(u16, &[u8])],
        input: &mut Input<'_>,
    ) {
        let (_, _, user) = CLIENTS[who];
        let transaction = self.next_transaction();
        let nonce = self.nonce(who);
        let mut buffer = [0; 4096];
        let mut writer = Writer::new(&mut buffer, Class::Request, method, transaction);
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
        let bits = input.byte();
        for _ in 0..bits % 4 {
            let (kind, value) = extra(input);
            writer.attribute(kind, value);
        }
        sign(&mut writer, user, &nonce, bits);
        if bits & 0x80 != 0 {
            let (kind, value) = extra(input);
            writer.attribute(kind, value);
        }
        if bits & 0x40 != 0 {
            writer.fingerprint();
        }
        // The same transaction again if the bit is set: a retransmission.
        self.transactions += u64::from(bits & 0x20 == 0);
        let message = writer.finish().to_vec();
        self.client(who, &message);
    }

    /// A datagram from a client, and a look at what comes of it.
    fn client(&mut self, who: usize, message: &[u8]) {
        let place = place(who);
        let asked = Asked { place, user: CLIENTS[who].2, bytes: message };
        let worker = connections::worker_to_bind(message).unwrap_or_else(|| worker_of(place));
        let passage = self.world.client_sends(worker, place, message);
        self.last = Some((who, message.to_vec()));
        let (now, events) = (self.world.elapsed, self.world.events());
        self.model.note_passage(now, (worker, asked), &passage);
        // A datagram on an old allocation ends it first; then it may make another.
        self.model.note(now, Cause::Asked(asked), &events);
        self.model.note_data(passage.served, asked);
        match &passage.outcome {
            Outcome::Send { via: At::Listener(via), to, bytes }
                if is_answer(bytes) && (via.0, *to) == place =>
            {
                assert_eq!(passage.handed_over, None, "an answer is no data");
                self.answered((passage.served, asked), bytes);
            }
            Outcome::Send { .. } => self.check_data((passage.served, asked), &passage),
            Outcome::Nothing => {}
        }
    }

    fn answered(&mut self, (worker, asked): (usize, Asked<'_>), answer: &[u8]) {
        answer_class(asked.bytes, answer);
        let answer = read(answer);
        if let Some(nonce) = find(&answer, attribute::NONCE) {
            self.nonces.insert(asked.place, nonce.to_vec());
        }
        self.model.note_answer(self.world.elapsed, (worker, asked), &answer);
    }

    fn nonce(&mut self, who: usize) -> Vec<u8> {
        let place = place(who);
        if let Some(nonce) = self.nonces.get(&place) {
            return nonce.clone();
        }
        let transaction = self.next_transaction();
        let mut buffer = [0; 64];
        let writer = Writer::new(&mut buffer, Class::Request, Method::Allocate, transaction);
        let message = writer.finish().to_vec();
        self.client(who, &message);
        self.nonces.get(&place).cloned().unwrap_or_default()
    }

    /// A fixed peer, or one of the addresses that UDP allocations have had or may get.
    fn peer(&self, input: &mut Input<'_>) -> SocketAddr {
        let choice = usize::from(input.byte());
        let Some(text) = PEERS.get(choice % 24) else {
            let own = choice / 24 * 8 + choice % 24 - PEERS.len();
            return self.world.opened[own % self.world.opened.len()];
        };
        address(text)
    }

    fn next_transaction(&self) -> TransactionId {
        let mut id = [9; 12];
        id[..8].copy_from_slice(&self.transactions.to_be_bytes());
        TransactionId(id)
    }
}

/// The address of relay ports of a family, which is that of a listener.
fn own_ip(family: usize) -> IpAddr {
    address(LISTENERS[family].0).ip()
}

/// An attribute of the fuzzer's: a kind that the relay knows or any other, any short value.
fn extra<'a>(input: &mut Input<'a>) -> (u16, &'a [u8]) {
    const KINDS: [u16; 24] = [
        0x0003, 0x0006, 0x0009, 0x000c, 0x000d, 0x0012, 0x0013, 0x0014, 0x0015, 0x0017, 0x0018,
        0x0019, 0x001a, 0x001c, 0x001d, 0x001e, 0x0020, 0x0022, 0x0026, 0x0027, 0x8000, 0x8004,
        0x8030, 0x8002,
    ];
    let kind = match input.byte() {
        0xff => input.word(),
        choice => KINDS[usize::from(choice) % KINDS.len()],
    };
    let length = usize::from(input.byte() % 40);
    (kind, input.bytes(length))
}
