//! What a NAT really does, found out by a STUN client behind it. RFC 5780 §4.

use crate::namespace::Namespace;
use crate::nat::{Filtering, Mapping};
use crate::world::{SERVER, SERVER_OTHER};
use anyhow::{Context as _, Result, ensure};
use relay_core::wire::{
    Class, Message, Method, TransactionId, Writer, attribute, decode_xor_address,
};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

/// The ports of the server that answers probes, on both of its addresses.
pub const PROBE_PORTS: [u16; 2] = [3578, 3579];

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often is asked until no answer is a no.
const ATTEMPTS: u32 = 2;

/// How often is asked where an answer must come.
const ATTEMPTS_MAX: u32 = 12;

/// The flags of CHANGE-REQUEST: by which address and port the answer is to leave.
const CHANGE_BOTH: u8 = 0x06;
const CHANGE_PORT: u8 = 0x02;

/// How a way to the internet was found to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behavior {
    /// RFC 5780 §4.3.
    pub mapping: Mapping,
    /// RFC 5780 §4.4.
    pub filtering: Filtering,
}

/// Finds out how the way from a host to the internet behaves.
///
/// # Errors
/// If the server doesn't answer at all: UDP is blocked, or it isn't running.
pub fn probe(space: &Namespace) -> Result<Behavior> {
    space.enter(|| Ok(Behavior { mapping: mapping()?, filtering: filtering()? }))?
}

/// Whether a host reaches itself by its outside address. RFC 5780 §4.5.
///
/// # Errors
/// As [`probe`].
pub fn hairpins(space: &Namespace) -> Result<bool> {
    space.enter(hairpin)?
}

/// Whether a mapping is still there after a pause in which nothing is sent. RFC 5780 §4.6.
///
/// # Errors
/// As [`probe`].
pub fn mapping_outlives(space: &Namespace, pause: Duration) -> Result<bool> {
    space.enter(|| {
        let kept = Client::new()?;
        let mapped = kept.must_ask(at(0, 0))?;
        thread::sleep(pause);
        // Another socket has the answer sent to the first one's outside port.
        let [high, low] = mapped.port().to_be_bytes();
        let port = [high, low, 0, 0];
        let (other, transaction) = (Client::new()?, transaction()?);
        for _ in 0..ATTEMPTS {
            other.send(at(0, 0), &[(attribute::RESPONSE_PORT, &port)], transaction)?;
            if kept.receive(Class::Success, transaction)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    })?
}

fn mapping() -> Result<Mapping> {
    let client = Client::new()?;
    let first = client.must_ask(at(0, 0))?;
    let second = client.must_ask(at(1, 0))?;
    if first == second {
        return Ok(Mapping::EndpointIndependent);
    }
    let third = client.must_ask(at(1, 1))?;
    Ok(if second == third { Mapping::AddressDependent } else { Mapping::AddressAndPortDependent })
}

fn filtering() -> Result<Filtering> {
    let client = Client::new()?;
    client.must_ask(at(0, 0))?;
    let change =
        |flags: u8| client.ask(at(0, 0), &[(attribute::CHANGE_REQUEST, &[0, 0, 0, flags])]);
    if change(CHANGE_BOTH)?.is_some() {
        return Ok(Filtering::EndpointIndependent);
    }
    Ok(match change(CHANGE_PORT)? {
        Some(_) => Filtering::AddressDependent,
        None => Filtering::AddressAndPortDependent,
    })
}

fn hairpin() -> Result<bool> {
    let inside = Client::new()?;
    let mapped = inside.must_ask(at(0, 0))?;
    let (other, transaction) = (Client::new()?, transaction()?);
    for _ in 0..ATTEMPTS {
        other.send(mapped, &[], transaction)?;
        if inside.receive(Class::Request, transaction)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One of the four addresses of the server.
fn at(address: usize, port: usize) -> SocketAddr {
    SocketAddr::new([SERVER, SERVER_OTHER][address].into(), PROBE_PORTS[port])
}

fn transaction() -> Result<TransactionId> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes)?;
    Ok(TransactionId(bytes))
}

/// A socket that asks and waits for answers.
struct Client {
    socket: UdpSocket,
}

impl Client {
    fn new() -> Result<Self> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket })
    }

    /// The outside address that the server sees, which must be known.
    fn must_ask(&self, server: SocketAddr) -> Result<SocketAddr> {
        let answer = self.ask_often(server, &[], ATTEMPTS_MAX)?;
        answer.with_context(|| format!("no answer from {server}: is UDP blocked, the server up?"))
    }

    /// The outside address that the server sees; `None` if no answer gets in.
    fn ask(&self, server: SocketAddr, attributes: &[(u16, &[u8])]) -> Result<Option<SocketAddr>> {
        self.ask_often(server, attributes, ATTEMPTS)
    }

    fn ask_often(
        &self,
        server: SocketAddr,
        attributes: &[(u16, &[u8])],
        attempts: u32,
    ) -> Result<Option<SocketAddr>> {
        for _ in 0..attempts {
            // One answer may be late: each question has its own number.
            let transaction = transaction()?;
            self.send(server, attributes, transaction)?;
            if let Some(address) = self.receive(Class::Success, transaction)? {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }

    fn send(
        &self,
        to: SocketAddr,
        attributes: &[(u16, &[u8])],
        transaction: TransactionId,
    ) -> Result<()> {
        let mut buffer = [0; 128];
        let mut writer = Writer::new(&mut buffer, Class::Request, Method::Binding, transaction);
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
        self.socket.send_to(writer.finish(), to)?;
        Ok(())
    }

    /// Waits for a message of a transaction. Gives the address in it; of a request, who sent it.
    fn receive(&self, class: Class, transaction: TransactionId) -> Result<Option<SocketAddr>> {
        let mut buffer = [0; 1500];
        loop {
            let (bytes, from) = match self.socket.recv_from(&mut buffer) {
                Ok(came) => came,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let message = Message::parse(&buffer[..bytes]).ok();
            let Some(message) = message.filter(|message| message.transaction() == transaction)
            else {
                continue;
            };
            ensure!(message.class() == class, "{from} answered with {:?}", message.class());
            if class == Class::Request {
                return Ok(Some(from));
            }
            let mut attributes = message.attributes();
            let address = attributes.find(|(kind, _)| *kind == attribute::XOR_MAPPED_ADDRESS);
            let (_, value) = address.context("an answer without address")?;
            let address = decode_xor_address(value, &transaction);
            return Ok(Some(address.ok().context("an address that can't be read")?));
        }
    }
}
