//! What the program says at its start: where everything is, what it chose for itself, and how to
//! open it.

use crate::config::{Config, Halves};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Where the halves came to listen, ports resolved, as clients are told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) http: Option<SocketAddr>,
    pub(crate) https: Vec<SocketAddr>,
    pub(crate) turn: Vec<SocketAddr>,
    pub(crate) turn_tcp: Vec<SocketAddr>,
    pub(crate) turn_tls: Vec<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
}

/// The text for standard output. Its last line says that all is running.
pub(crate) fn text(config: &Config, addresses: &Addresses) -> String {
    let mut text = String::new();
    let halves = match config.halves {
        Halves::Both => "signal and relay",
        Halves::Signal => "signal",
        Halves::Relay => "relay",
    };
    let _ = writeln!(text, "Heliograph {}: {halves}\n", env!("CARGO_PKG_VERSION"));
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<10} {value}");
    };
    for http in addresses.http.into_iter().flat_map(reachable) {
        if config.halves.signal() {
            line("Page", format!("http://{http}/"));
            line("WebSocket", format!("ws://{http}/v1/ws"));
        } else {
            line("Metrics", format!("http://{http}/metrics"));
        }
    }
    let secure = |address: &SocketAddr| match &config.public_host {
        Some(host) => format!("{host}:{}", address.port()),
        None => address.to_string(),
    };
    let mut https: Vec<_> = addresses.https.iter().map(secure).collect();
    https.dedup();
    for https in https {
        if config.halves.signal() {
            line("Page", format!("https://{https}/"));
            line("WebSocket", format!("wss://{https}/v1/ws"));
        } else {
            line("Metrics", format!("https://{https}/metrics"));
        }
    }
    for turn in &addresses.turn {
        line("STUN", format!("stun:{turn}"));
        line("TURN", format!("turn:{turn}?transport=udp"));
    }
    for turn in &addresses.turn_tcp {
        line("TURN", format!("turn:{turn}?transport=tcp"));
    }
    let mut tls: Vec<_> = addresses.turn_tls.iter().map(secure).collect();
    tls.dedup();
    for turn in tls {
        line("TURN", format!("turns:{turn}?transport=tcp"));
    }
    for admin in addresses.admin.into_iter().flat_map(reachable) {
        line("Admin", format!("http://{admin}/"));
    }
    let _ = writeln!(text);
    if let Some(chosen) = chosen(config) {
        let _ = writeln!(text, "Chosen: {chosen}.");
    }
    if config.only_this_machine() {
        text.push_str(match config.halves {
            Halves::Both | Halves::Signal => {
                "Only this machine can reach it. For a LAN: --http 0.0.0.0:8080 --open; \
                 behind a NAT or in a cloud also --public-ip IP.\n"
            }
            Halves::Relay => {
                "Only this machine can reach it. To open it: --turn 0.0.0.0:3478; \
                 behind a NAT or in a cloud also --public-ip IP.\n"
            }
        });
    }
    if !config.only_this_machine() && config.public_ip.is_empty() {
        text.push_str("Behind a NAT or in a cloud, add --public-ip IP.\n");
    }
    text.push_str("Ctrl-C ends it.\n");
    text
}

fn chosen(config: &Config) -> Option<String> {
    if !config.halves.relay() {
        return None;
    }
    let (first, last) = (config.port_range.start(), config.port_range.end());
    let threads = if config.workers == 1 { "thread" } else { "threads" };
    let relay = format!("{} relay {threads}, relay ports {first}-{last}", config.workers);
    Some(if config.secret_made {
        format!("a TURN secret for this run (--turn-secret keeps one), {relay}")
    } else {
        relay
    })
}

/// The addresses by which a listener can be reached: those of the machine for a wildcard.
pub(crate) fn reachable(listener: SocketAddr) -> Vec<SocketAddr> {
    if !listener.ip().is_unspecified() {
        return vec![listener];
    }
    let fits = |ip: &IpAddr| {
        let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        // A socket on [::] takes IPv4 too.
        !link_local && (listener.is_ipv6() || ip.is_ipv4())
    };
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut found: Vec<SocketAddr> = interfaces
        .iter()
        .map(if_addrs::Interface::ip)
        .filter(fits)
        .map(|ip| SocketAddr::new(ip, listener.port()))
        .collect();
    found.sort_by_key(|address| (address.ip().is_loopback(), address.ip()));
    if found.is_empty() { vec![listener] } else { found }
}
