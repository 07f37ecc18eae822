//! A world: an internet of its own with a server, and hosts behind whatever is between.
//!
//! The internet is one bridge, 203.0.113.0/24 and 2001:db8::/64. Homes are 192.168.1.0/24, each of
//! them, as in life; carriers are 100.64.0.0/24 inside. Nothing leads out of the world.

use crate::cable::Cable;
use crate::grid::{Pair, Ways};
use crate::line::Impairment;
use crate::namespace::{Namespace, prefix, remove};
use crate::nat::{Family, Gate, Kind};
use crate::rules::rules;
use anyhow::{Context as _, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// Where the server is.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

/// The server's other address, as RFC 5780 needs it.
pub const SERVER_OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 11);

/// Where the server is by IPv6.
pub const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 10);

/// The public addresses of a world: a safe relay must be told that its peers may be there.
pub const PUBLIC: [&str; 2] = ["203.0.113.0/24", "2001:db8::/32"];

const INTERNET: [u8; 3] = [203, 0, 113];
const CARRIER: [u8; 3] = [100, 64, 0];
const HOME: [u8; 3] = [192, 168, 1];

/// Members of the internet are numbered from here: the server's addresses are below.
const FIRST_PUBLIC: u16 = 20;

/// An internet of its own. It is gone with all that is in it when this is dropped, and when the
/// process ends by a signal; what a killed process leaves is removed when another makes a world.
#[derive(Debug)]
pub struct World {
    prefix: String,
    internet: Network,
    server: Host,
    gates: u16,
    has_ipv6: bool,
    cables: Vec<Cable>,
}

/// A bridge that hosts and routers are plugged into.
#[derive(Clone, Debug)]
pub struct Network {
    space: Namespace,
    ipv4: [u8; 3],
    /// The third group of its IPv6 addresses; a network behind two routers has none.
    ipv6: Option<u16>,
    /// The number that its next member gets.
    next: Arc<AtomicU16>,
}

/// A machine with one interface.
#[derive(Clone, Debug)]
pub struct Host {
    space: Namespace,
    ip: IpAddr,
}

impl World {
    /// Makes an internet with nobody in it but a server's machine.
    ///
    /// # Errors
    /// If this isn't root, or the kernel or a program (`ip`, `nft`) can't do something.
    pub fn new() -> Result<Self> {
        let prefix = prefix()?;
        let made = Self::make(&prefix);
        if made.is_err() {
            remove(&prefix)?;
        }
        made
    }

    fn make(prefix: &str) -> Result<Self> {
        let space = Namespace::add(format!("{prefix}internet"))?;
        let internet = Network::make(space, INTERNET, Some(0), FIRST_PUBLIC)?;
        let space = Namespace::add(format!("{prefix}server"))?;
        internet.plug_veth(&space, "eth0")?;
        let addresses = [SERVER, SERVER_OTHER].map(|ip| format!("addr add {ip}/24 dev eth0"));
        let ipv6 = format!("addr add {SERVER_V6}/64 dev eth0 nodad");
        space.ip(&[&addresses[0], &addresses[1], &ipv6])?;
        internet.lead_out(&space, "eth0", Family::V4)?;
        internet.lead_out(&space, "eth0", Family::V6)?;
        let server = Host { space, ip: SERVER.into() };
        let prefix = prefix.to_owned();
        Ok(Self { prefix, internet, server, gates: 0, has_ipv6: false, cables: Vec::new() })
    }

    /// The network of all who have a public address.
    #[must_use]
    pub fn internet(&self) -> Network {
        self.internet.clone()
    }

    /// The machine for a server: it has [`SERVER`], [`SERVER_OTHER`] and [`SERVER_V6`].
    #[must_use]
    pub fn server(&self) -> &Host {
        &self.server
    }

    /// Whether there is a host with IPv6.
    pub(crate) fn has_ipv6(&self) -> bool {
        self.has_ipv6
    }

    /// Puts a router into a network, and gives the one behind it: a home.
    ///
    /// # Errors
    /// If the router can't be made: see [`Nat`](crate::Nat).
    pub fn home(&mut self, outside: &Network, gate: &Gate) -> Result<Network> {
        self.gate(outside, gate, HOME)
    }

    /// Puts a carrier's router into a network, and gives the one behind it, where its customers'
    /// routers belong.
    ///
    /// # Errors
    /// As [`home`](Self::home).
    pub fn carrier(&mut self, outside: &Network, gate: &Gate) -> Result<Network> {
        self.gate(outside, gate, CARRIER)
    }

    fn gate(&mut self, outside: &Network, gate: &Gate, inside: [u8; 3]) -> Result<Network> {
        self.gates += 1;
        let space = Namespace::add(format!("{}gate{}", self.prefix, self.gates))?;
        let wan = outside.plug_veth(&space, "wan")?;
        let wan_ipv4 = outside.settle(&space, "wan", wan, Family::V4)?;
        let ipv6 = (outside.ipv6 == Some(0)).then_some(wan);
        if let Some(group) = ipv6 {
            outside.settle(&space, "wan", wan, Family::V6)?;
            let route = format!("route add 2001:db8:{group:x}::/64 via 2001:db8::{wan:x}");
            outside.space.ip(&[&route])?;
        }
        let IpAddr::V4(wan_ipv4) = wan_ipv4 else { unreachable!("asked for IPv4") };
        space.nft(&rules(gate, wan_ipv4)?)?;
        let timeout = gate.nat.timeout.as_secs().to_string();
        space.set(&[
            ("netfilter/nf_conntrack_udp_timeout", &timeout),
            ("netfilter/nf_conntrack_udp_timeout_stream", &timeout),
        ])?;
        Network::make(space, inside, ipv6, 2)
    }

    /// Puts a machine into a network.
    ///
    /// # Errors
    /// If the name is taken in this world.
    pub fn host(&mut self, name: &str, network: &Network, family: Family) -> Result<Host> {
        self.has_ipv6 |= family == Family::V6;
        let space = Namespace::add(format!("{}{name}", self.prefix))?;
        let number = network.plug_veth(&space, "eth0")?;
        let ip = network.settle(&space, "eth0", number, family)?;
        Ok(Host { space, ip })
    }

    /// Puts a machine into a network by a cable that delays and loses.
    ///
    /// # Errors
    /// If the name is taken in this world.
    pub fn far_host(
        &mut self,
        name: &str,
        network: &Network,
        family: Family,
        impairment: Impairment,
    ) -> Result<Host> {
        self.has_ipv6 |= family == Family::V6;
        let space = Namespace::add(format!("{}{name}", self.prefix))?;
        let number = network.take_number();
        let port = format!("port{number}");
        let cable = Cable::lay((&space, "eth0"), (&network.space, &port), impairment)?;
        self.cables.push(cable);
        network.space.ip(&[&format!("link set {port} master lan up")])?;
        let ip = network.settle(&space, "eth0", number, family)?;
        Ok(Host { space, ip })
    }

    /// Has all cables delay and lose from now on as is said.
    pub fn set_impairment(&self, impairment: Impairment) {
        for cable in &self.cables {
            cable.set(impairment);
        }
    }

    /// Puts a machine behind routers of this kind.
    ///
    /// # Errors
    /// If the name is taken in this world.
    pub fn peer(&mut self, name: &str, kind: Kind) -> Result<Host> {
        let network = self.behind(kind)?;
        self.host(name, &network, kind.family())
    }

    /// Takes a machine out of its network and puts it into another, as when somebody leaves the
    /// house with a telephone.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn relocate(&self, host: &mut Host, network: &Network) -> Result<()> {
        host.space.ip(&["link del eth0"])?;
        let number = network.plug_veth(&host.space, "eth0")?;
        host.ip = network.settle(&host.space, "eth0", number, Family::V4)?;
        Ok(())
    }

    /// A network behind new routers of this kind; the internet if there are none.
    ///
    /// # Errors
    /// If a router can't be made.
    pub fn behind(&mut self, kind: Kind) -> Result<Network> {
        self.lead(&self.internet(), &kind.gates(), false)
    }

    /// Puts the machines of a pair where they belong; their names are `ada` and `bob`.
    ///
    /// # Errors
    /// If a router can't be made, or a name is taken in this world.
    pub fn pair(&mut self, pair: Pair) -> Result<[Host; 2]> {
        let (Ways { shared, own }, families) = (pair.ways(), pair.families());
        let is_carrier = own.iter().any(|gates| !gates.is_empty());
        let shared = self.lead(&self.internet(), &shared, is_carrier)?;
        let mut host = |who: usize, name| {
            let network = self.lead(&shared, &own[who], false)?;
            self.host(name, &network, families[who])
        };
        Ok([host(0, "ada")?, host(1, "bob")?])
    }

    /// Puts one router behind another, the outermost first. The last one is that of a home, unless
    /// more are to follow.
    fn lead(&mut self, outside: &Network, gates: &[Gate], more: bool) -> Result<Network> {
        let mut network = outside.clone();
        for (number, gate) in (1..).zip(gates) {
            let is_home = number == gates.len() && !more;
            let outside = network;
            network =
                if is_home { self.home(&outside, gate)? } else { self.carrier(&outside, gate)? };
        }
        Ok(network)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Their interfaces would keep the namespaces.
        self.cables.clear();
        if let Err(error) = remove(&self.prefix) {
            // A panic in a drop while panicking would hide the first one.
            assert!(std::thread::panicking(), "the world {} is left behind: {error}", self.prefix);
        }
    }
}

impl Network {
    fn make(space: Namespace, ipv4: [u8; 3], ipv6: Option<u16>, first: u16) -> Result<Self> {
        let [a, b, c] = ipv4;
        space.set(&[("ipv4/ip_forward", "1")])?;
        // Where the kernel shows bridged frames to nftables, a packet is translated twice.
        let is_shown = Path::new("/proc/sys/net/bridge").exists();
        space.set(if is_shown { &[("bridge/bridge-nf-call-iptables", "0")] } else { &[] })?;
        space.ip(&[
            "link add lan type bridge forward_delay 0 mcast_snooping 0",
            "link set lan up",
            &format!("addr add {a}.{b}.{c}.1/24 dev lan"),
        ])?;
        if let Some(group) = ipv6 {
            space.set(&[("ipv6/conf/all/forwarding", "1")])?;
            space.ip(&[&format!("addr add 2001:db8:{group:x}::1/64 dev lan nodad")])?;
        }
        Ok(Self { space, ipv4, ipv6, next: Arc::new(AtomicU16::new(first)) })
    }

    /// Connects an interface of another namespace to the bridge, and gives its number.
    fn plug_veth(&self, other: &Namespace, interface: &str) -> Result<u16> {
        let number = self.take_number();
        let peer = format!("peer name {interface} netns {}", other.name());
        self.space.ip(&[
            &format!("link add port{number} type veth {peer}"),
            &format!("link set port{number} master lan up"),
        ])?;
        Ok(number)
    }

    /// Gives an interface its address in this network, and the way out.
    fn settle(
        &self,
        space: &Namespace,
        interface: &str,
        number: u16,
        family: Family,
    ) -> Result<IpAddr> {
        let [a, b, c] = self.ipv4;
        let ip = match family {
            Family::V4 => Ipv4Addr::new(a, b, c, u8::try_from(number)?).into(),
            Family::V6 => {
                let group = self.ipv6.context("no IPv6 behind two routers")?;
                Ipv6Addr::new(0x2001, 0xdb8, group, 0, 0, 0, 0, number).into()
            }
        };
        let address = match family {
            Family::V4 => format!("addr add {ip}/24 dev {interface}"),
            Family::V6 => format!("addr add {ip}/64 dev {interface} nodad"),
        };
        space.ip(&[&address])?;
        self.lead_out(space, interface, family)?;
        Ok(ip)
    }

    fn lead_out(&self, space: &Namespace, interface: &str, family: Family) -> Result<()> {
        let [a, b, c] = self.ipv4;
        let route = match (family, self.ipv6) {
            (Family::V4, _) => format!("route add default via {a}.{b}.{c}.1"),
            (Family::V6, group) => {
                let group = group.unwrap_or_default();
                format!("route add ::/0 via 2001:db8:{group:x}::1 dev {interface}")
            }
        };
        space.ip(&[&format!("link set {interface} up"), &route])
    }

    fn take_number(&self) -> u16 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Host {
    /// Its namespace, in which programs run.
    #[must_use]
    pub fn space(&self) -> &Namespace {
        &self.space
    }

    /// Its address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ip
    }
}
