//! Says which NAT this machine is behind: how it maps addresses, and whom it lets in.
//!
//! ```text
//! cargo run --example nat_probe -- --server 192.0.2.1:3478
//! ```
//!
//! A heliograph that listens by UDP on two addresses with the same two ports each answers all
//! questions (RFC 5780, docs/operate.md). Of any other STUN servers two tell at least how the NAT
//! maps: `--server A --server B`.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use anyhow::{Context as _, bail};
use clap::Parser;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;
use stun_rs::attributes::discovery::ChangeRequestFlags::{ChangeIp, ChangePort};
use stun_rs::attributes::discovery::{ChangeRequest, OtherAddress};
use stun_rs::attributes::stun::XorMappedAddress;
use stun_rs::methods::BINDING;
use stun_rs::{
    MessageClass, MessageDecoderBuilder, MessageEncoderBuilder, StunMessage, StunMessageBuilder,
};

/// For how long each try waits for its answer: those that never come cost the sum.
const TRIES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];

/// The largest datagram that is taken.
const DATAGRAM_BYTES_MAX: usize = 1500;

/// Says which NAT this machine is behind.
#[derive(Debug, Parser)]
struct Args {
    /// A STUN server, HOST:PORT; a second one helps if the first has no other address.
    #[arg(long, required = true)]
    server: Vec<String>,
    /// The local address to ask from.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    local: IpAddr,
}

/// Whether the NAT gives a socket one outside address, or several (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mapping {
    NoNat,
    EndpointIndependent,
    AddressDependent,
    AddressAndPortDependent,
    /// With two servers it can't be told whether the port matters too.
    Dependent,
}

/// Whose packets the NAT lets in (RFC 4787 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filtering {
    EndpointIndependent,
    AddressDependent,
    AddressAndPortDependent,
}

/// A socket that asks.
struct Prober {
    socket: UdpSocket,
}

/// What a server says.
struct Answer {
    /// The outside address.
    mapped: SocketAddr,
    /// The server's other address and port.
    other: Option<SocketAddr>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut servers = Vec::new();
    for server in &args.server {
        let mut found = server.to_socket_addrs().with_context(|| format!("{server} is unknown"))?;
        let same_family = found.find(|address| address.is_ipv4() == args.local.is_ipv4());
        servers.push(same_family.with_context(|| format!("{server} has no such address"))?);
    }
    let prober = Prober::new(args.local)?;
    let first = servers[0];
    let answer = prober.ask(first, false, false)?;
    let Some(answer) = answer else {
        bail!("no answer from {first}: is UDP blocked, or is it another port?");
    };
    let local = prober.local_address(first)?;
    println!("local address:   {local}");
    println!("outside address: {}", answer.mapped);
    let mapping = prober.mapping(local, first, &answer, servers.get(1).copied())?;
    match mapping {
        Some(mapping) => println!("mapping:         {mapping}"),
        None => println!("mapping:         can't be told: give a second --server"),
    }
    match answer.other {
        // Another socket, to which nobody but this address was talked to.
        Some(_) => println!("filtering:       {}", Prober::new(args.local)?.filtering(first)?),
        None => println!("filtering:       can't be told: {first} has no other address"),
    }
    println!("{}", advice(mapping));
    Ok(())
}

impl Prober {
    fn new(local: IpAddr) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((local, 0)).with_context(|| format!("{local} isn't ours"))?;
        Ok(Self { socket })
    }

    /// The address that packets to this server leave by.
    fn local_address(&self, server: SocketAddr) -> anyhow::Result<SocketAddr> {
        let bound = self.socket.local_addr()?;
        let route = UdpSocket::bind((bound.ip(), 0))?;
        route.connect(server)?;
        Ok(SocketAddr::new(route.local_addr()?.ip(), bound.port()))
    }

    /// RFC 5780 §4.3.
    fn mapping(
        &self,
        local: SocketAddr,
        server: SocketAddr,
        first: &Answer,
        second: Option<SocketAddr>,
    ) -> anyhow::Result<Option<Mapping>> {
        if first.mapped == local {
            return Ok(Some(Mapping::NoNat));
        }
        let Some(other) = first.other else {
            let Some(second) = second else { return Ok(None) };
            let answer = self.ask(second, false, false)?;
            return Ok(answer.map(|answer| match answer.mapped == first.mapped {
                true => Mapping::EndpointIndependent,
                false => Mapping::Dependent,
            }));
        };
        let by_address = self.ask(SocketAddr::new(other.ip(), server.port()), false, false)?;
        let Some(by_address) = by_address else { return Ok(None) };
        if by_address.mapped == first.mapped {
            return Ok(Some(Mapping::EndpointIndependent));
        }
        let by_port = self.ask(other, false, false)?;
        Ok(by_port.map(|by_port| match by_port.mapped == by_address.mapped {
            true => Mapping::AddressDependent,
            false => Mapping::AddressAndPortDependent,
        }))
    }

    /// RFC 5780 §4.4.
    fn filtering(&self, server: SocketAddr) -> anyhow::Result<Filtering> {
        Ok(if self.ask(server, true, true)?.is_some() {
            Filtering::EndpointIndependent
        } else if self.ask(server, false, true)?.is_some() {
            Filtering::AddressDependent
        } else {
            Filtering::AddressAndPortDependent
        })
    }

    /// Asks a server, which is to answer by its other address or port; none if no answer comes.
    fn ask(
        &self,
        server: SocketAddr,
        other_ip: bool,
        other_port: bool,
    ) -> anyhow::Result<Option<Answer>> {
        let mut request = StunMessageBuilder::new(BINDING, MessageClass::Request);
        let flags = match (other_ip, other_port) {
            (true, true) => Some(ChangeIp | ChangePort),
            (true, false) => Some(ChangeIp.into()),
            (false, true) => Some(ChangePort.into()),
            (false, false) => None,
        };
        if flags.is_some() {
            request = request.with_attribute(ChangeRequest::new(flags));
        }
        let request = request.build();
        let mut bytes = [0; DATAGRAM_BYTES_MAX];
        let length = MessageEncoderBuilder::default()
            .build()
            .encode(&mut bytes, &request)
            .map_err(|error| anyhow::anyhow!("a request can't be written: {error}"))?;
        for timeout in TRIES {
            self.socket.send_to(&bytes[..length], server)?;
            self.socket.set_read_timeout(Some(timeout))?;
            if let Some(answer) = self.receive(&request) {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// The answer to this request, if it comes before the timeout.
    fn receive(&self, request: &StunMessage) -> Option<Answer> {
        let mut bytes = [0; DATAGRAM_BYTES_MAX];
        loop {
            let (length, _) = self.socket.recv_from(&mut bytes).ok()?;
            let decoder = MessageDecoderBuilder::default().build();
            let Ok((message, _)) = decoder.decode(&bytes[..length]) else { continue };
            if message.transaction_id() != request.transaction_id() {
                continue;
            }
            let mapped = message.get::<XorMappedAddress>()?.as_xor_mapped_address().ok()?;
            let other = message.get::<OtherAddress>();
            let other = other.and_then(|other| other.as_other_address().ok());
            return Some(Answer {
                mapped: *mapped.socket_address(),
                other: other.map(|other| *other.socket_address()),
            });
        }
    }
}

/// What it means for two peers.
fn advice(mapping: Option<Mapping>) -> &'static str {
    match mapping {
        Some(Mapping::NoNat | Mapping::EndpointIndependent) => {
            "Peers can be reached directly, unless a firewall drops UDP."
        }
        Some(Mapping::AddressDependent | Mapping::AddressAndPortDependent | Mapping::Dependent) => {
            "Peers behind such a NAT too are reached by a relay only; others mostly directly."
        }
        None => "Whether peers can be reached directly is not known.",
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNat => "none: there is no NAT",
            Self::EndpointIndependent => "endpoint-independent (one outside address for all)",
            Self::AddressDependent => "address-dependent (symmetric)",
            Self::AddressAndPortDependent => "address- and port-dependent (symmetric)",
            Self::Dependent => "dependent on the destination (symmetric)",
        })
    }
}

impl fmt::Display for Filtering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndpointIndependent => "endpoint-independent (everybody gets in)",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address- and port-dependent",
        })
    }
}
