//! The local addresses of a link's sockets.

use super::config::LOCAL_ADDRESSES_MAX;
use crate::link::IceSetup;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::vec;

/// The addresses to bind, found anew each time they are asked for, so that an ICE restart sees the
/// interfaces of then.
///
/// webrtc's own wildcard leaves out loopback, and binds `0.0.0.0` (as a candidate nobody can reach)
/// where there is nothing else. A machine's own loopback matters when the server is there: then its
/// relay is too, and so may be the peers.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalAddresses {
    loopback: Loopback,
}

/// What the loopback interface is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loopback {
    /// The server is elsewhere: only where there is no other interface.
    Unused,
    /// The server is on this machine, and so may be peers.
    Used,
    /// The server and its relay are on this machine, and only the relay is to be reached.
    Only,
}

impl LocalAddresses {
    /// What the links of a room bind.
    pub(super) fn of(setup: &IceSetup) -> Self {
        let urls = || setup.servers.iter().flat_map(|server| &server.urls);
        let turn = || urls().filter(|url| url.starts_with("turn"));
        let loopback =
            if setup.relay_only && turn().next().is_some() && turn().all(|url| is_local(url)) {
                Loopback::Only
            } else if setup.server_is_local || turn().any(|url| is_local(url)) {
                Loopback::Used
            } else {
                Loopback::Unused
            };
        Self { loopback }
    }
}

fn is_local(url: &str) -> bool {
    let host = url.split_once(':').map_or("", |(_, rest)| rest);
    ["127.", "[::1]", "localhost"].iter().any(|loopback| host.starts_with(loopback))
}

impl ToSocketAddrs for LocalAddresses {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let interfaces = if_addrs::get_if_addrs()?;
        let addresses = choose(self.loopback, interfaces.iter().map(|interface| interface.ip()));
        Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect::<Vec<_>>().into_iter())
    }
}

/// The addresses that a peer elsewhere could answer to, in order.
pub(super) fn usable_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    sorted(interfaces.iter().map(|interface| interface.ip()).filter(is_usable))
}

fn sorted(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = addresses.collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn choose(loopback: Loopback, interfaces: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut chosen: Vec<IpAddr> = match loopback {
        Loopback::Only => Vec::new(),
        Loopback::Unused | Loopback::Used => sorted(interfaces.filter(is_usable)),
    };
    chosen.truncate(LOCAL_ADDRESSES_MAX - 1);
    if chosen.is_empty() || loopback == Loopback::Used {
        chosen.push(Ipv4Addr::LOCALHOST.into());
    }
    chosen
}

/// Whether a peer elsewhere could answer to this address. A link-local IPv6 address lacks its scope
/// in a candidate.
fn is_usable(ip: &IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(link_local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(loopback: Loopback, interfaces: &[&str]) -> Vec<String> {
        let interfaces = interfaces.iter().map(|ip| ip.parse().unwrap());
        choose(loopback, interfaces).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn loopback_is_bound_where_it_leads_somewhere() {
        let host =
            ["127.0.0.1", "::1", "10.0.0.2", "fe80::1", "169.254.3.3", "2001:db8::2", "10.0.0.2"];
        assert_eq!(chosen(Loopback::Unused, &host), ["10.0.0.2", "2001:db8::2"]);
        assert_eq!(chosen(Loopback::Used, &host), ["10.0.0.2", "2001:db8::2", "127.0.0.1"]);
        assert_eq!(chosen(Loopback::Only, &host), ["127.0.0.1"]);
        assert_eq!(
            chosen(Loopback::Unused, &["127.0.0.1"]),
            ["127.0.0.1"],
            "nothing else is there"
        );
    }

    #[test]
    fn a_host_with_many_interfaces_keeps_loopback_within_the_limit() {
        let many: Vec<String> = (1..100).map(|n| format!("10.0.0.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let chosen = chosen(Loopback::Used, &many);
        assert_eq!(chosen.len(), LOCAL_ADDRESSES_MAX);
        assert!(chosen.contains(&"127.0.0.1".to_owned()));
    }
}
