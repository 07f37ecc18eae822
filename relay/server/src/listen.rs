//! From the addresses an operator asks for to bound sockets.

use crate::config::RelayConfig;
use crate::error::{Note, StartError};
use crate::socket;
use relay_core::Transport;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

/// A listening address as it came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerAddress {
    /// Where the sockets are bound; never a wildcard, never port 0.
    pub bound: SocketAddr,
    /// Where clients outside reach it: differs from `bound` by `RelayConfig::public_ip` only.
    pub advertised: SocketAddr,
    /// What clients reach it by.
    pub transport: Transport,
}

/// One listening address with its sockets.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) address: ListenerAddress,
    /// The address that it was asked for by.
    pub(crate) asked: SocketAddr,
    pub(crate) sockets: Sockets,
}

/// What listens.
#[derive(Debug)]
pub(crate) enum Sockets {
    /// One for each worker.
    Udp(Vec<UdpSocket>),
    /// One for all.
    Stream(TcpListener),
}

/// Binds all addresses of `config`: first those of UDP, then those of streams.
pub(crate) fn listen(
    config: &RelayConfig,
    notes: &mut Vec<Note>,
) -> Result<Vec<Listening>, StartError> {
    check_public(&config.public_ip)?;
    let lists = [
        (Transport::Udp, &config.listen),
        (Transport::Tcp, &config.streams.tcp),
        (Transport::Tls, &config.streams.tls),
    ];
    let mut listening: Vec<Listening> = Vec::new();
    for (transport, list) in lists {
        for &asked in list {
            let known = |ip| {
                let address = SocketAddr::new(ip, asked.port());
                let mut all = listening.iter().map(|have| have.address);
                all.any(|have| have.bound == address && have.transport == transport)
            };
            let asked = Asked { address: asked, transport };
            let ips: Vec<_> = expand(asked)?.into_iter().filter(|ip| !known(*ip)).collect();
            listening.extend(bind_all(asked, &ips, config, notes)?);
        }
    }
    if listening.is_empty() {
        return Err(StartError::NoListener);
    }
    for &public in &config.public_ip {
        if !listening.iter().any(|one| one.address.advertised.ip() == public) {
            let wildcard = if public.is_ipv4() { "0.0.0.0" } else { "[::]" };
            return Err(StartError::PublicIpUnused(public, wildcard));
        }
    }
    Ok(listening)
}

/// What an operator asked for.
#[derive(Clone, Copy)]
struct Asked {
    address: SocketAddr,
    transport: Transport,
}

impl Asked {
    fn flag(self) -> &'static str {
        match self.transport {
            Transport::Udp => "--turn",
            Transport::Tcp => "--turn-tcp",
            Transport::Tls => "--turn-tls",
        }
    }

    fn bind(self, address: SocketAddr, config: &RelayConfig) -> io::Result<(SocketAddr, Sockets)> {
        match self.transport {
            Transport::Udp => {
                let sockets = socket::listeners(address, config.workers, &config.limits)?;
                Ok((sockets[0].local_addr()?, Sockets::Udp(sockets)))
            }
            Transport::Tcp | Transport::Tls => {
                let socket = socket::stream_listener(address, config.streams.limits.backlog)?;
                Ok((socket.local_addr()?, Sockets::Stream(socket)))
            }
        }
    }
}

/// What the outside calls `bound`.
fn advertised(bound: SocketAddr, public: &[IpAddr]) -> SocketAddr {
    let ours = |ip: &&IpAddr| ip.is_ipv4() == bound.is_ipv4() && !bound.ip().is_loopback();
    match public.iter().find(ours) {
        Some(ip) => SocketAddr::new(*ip, bound.port()),
        None => bound,
    }
}

fn check_public(public: &[IpAddr]) -> Result<(), StartError> {
    for (i, ip) in public.iter().enumerate() {
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || broadcast {
            return Err(StartError::PublicIp(*ip));
        }
        if let Some(other) = public[..i].iter().find(|other| other.is_ipv4() == ip.is_ipv4()) {
            return Err(StartError::PublicIps(*other, *ip));
        }
    }
    Ok(())
}

/// The addresses that `asked` stands for.
fn expand(all: Asked) -> Result<Vec<IpAddr>, StartError> {
    let asked = all.address;
    if !asked.ip().is_unspecified() {
        return Ok(vec![asked.ip()]);
    }
    let interfaces = if_addrs::get_if_addrs()
        .map_err(|error| StartError::of("list the addresses of this machine", error))?;
    let mut ips = Vec::new();
    for ip in interfaces.iter().map(if_addrs::Interface::ip) {
        let link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if ip.is_ipv4() == asked.is_ipv4() && !link_local && !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    if ips.is_empty() { Err(StartError::NoAddress(asked, all.flag())) } else { Ok(ips) }
}

/// How often a port that is free on the first address may turn out to be taken on another.
const PORT_TRIES: usize = 16;

fn bind_all(
    asked: Asked,
    ips: &[IpAddr],
    config: &RelayConfig,
    notes: &mut Vec<Note>,
) -> Result<Vec<Listening>, StartError> {
    let mut tries = if asked.address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let mut left_out = Vec::new();
        match bind_each(asked, ips, config, &mut left_out) {
            Err(StartError::InUse(..)) if tries > 0 => {}
            Err(error) => return Err(error),
            Ok(listening) => {
                notes.extend(left_out);
                return Ok(listening);
            }
        }
    }
}

fn bind_each(
    all: Asked,
    ips: &[IpAddr],
    config: &RelayConfig,
    left_out: &mut Vec<Note>,
) -> Result<Vec<Listening>, StartError> {
    let asked = all.address;
    let mut port = asked.port();
    let mut listening = Vec::new();
    for &ip in ips {
        let address = match asked {
            SocketAddr::V6(mut v6) if v6.ip() == &ip => {
                v6.set_port(port);
                v6.into() // with the scope of a link-local address
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => SocketAddr::new(ip, port),
        };
        let (bound, sockets) = match all.bind(address, config) {
            Ok(bound) => bound,
            Err(error) if asked.ip().is_unspecified() && comes_and_goes(&error) => {
                left_out.push(Note::LeftOut(address));
                continue;
            }
            Err(error) => return Err(StartError::of_listener(address, all.flag(), error)),
        };
        port = bound.port();
        let advertised = advertised(bound, &config.public_ip);
        let address = ListenerAddress { bound, advertised, transport: all.transport };
        listening.push(Listening { address, asked, sockets });
    }
    if listening.is_empty() && !left_out.is_empty() {
        return Err(StartError::NoAddress(asked, all.flag()));
    }
    Ok(listening)
}

/// Whether an address that the machine lists is not there yet or any more.
fn comes_and_goes(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_stands_for_its_family_beyond_loopback() {
        let public: [IpAddr; 2] = ["203.0.113.9".parse().unwrap(), "2001:db8::9".parse().unwrap()];
        for (bound, told) in [
            ("10.0.0.1:3478", "203.0.113.9:3478"),
            ("127.0.0.1:3478", "127.0.0.1:3478"),
            ("[fd00::1]:3478", "[2001:db8::9]:3478"),
            ("[::1]:3478", "[::1]:3478"),
        ] {
            let bound = bound.parse().unwrap();
            assert_eq!(advertised(bound, &public), told.parse().unwrap());
            assert_eq!(advertised(bound, &[]), bound);
        }
    }

    #[test]
    fn a_wildcard_stands_for_loopback_too_and_no_link_local_address() {
        let asked =
            |text: &str| Asked { address: text.parse().unwrap(), transport: Transport::Udp };
        let ips = expand(asked("0.0.0.0:1")).unwrap();
        assert!(ips.contains(&IpAddr::from([127, 0, 0, 1])), "{ips:?}");
        assert!(ips.iter().all(|ip| ip.is_ipv4() && !ip.is_unspecified()), "{ips:?}");
        if let Ok(ips) = expand(asked("[::]:1")) {
            let link_local = |ip: &IpAddr| ip.to_string().starts_with("fe80");
            assert!(!ips.iter().any(link_local), "{ips:?}");
        }
    }
}
