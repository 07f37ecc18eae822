//! Which STUN and TURN URLs a client is told.

use crate::{IceConfig, TurnListener, TurnTransport};
use signal_core::IceUrls;
use std::net::{IpAddr, SocketAddr};

/// The URLs for a client that reached this server at `local`.
///
/// Public addresses, if the operator gave any. Else the listener at the very address that the
/// client reached, since that is known to work for it; else all that aren't loopback; else all
/// there are. A wildcard stands for the address that the client reached.
pub(crate) fn urls(config: &IceConfig, local: Option<IpAddr>) -> IceUrls {
    let local = local.map(|ip| ip.to_canonical());
    let of = |transport| {
        let has = |listener: &&TurnListener| listener.transport == transport;
        let listeners: Vec<_> = config.turn.iter().filter(has).copied().collect();
        addresses(&listeners, local)
    };
    let udp = of(TurnTransport::Udp);
    let mut turn: Vec<_> =
        udp.iter().map(|address| format!("turn:{address}?transport=udp")).collect();
    let tcp = of(TurnTransport::Tcp).into_iter();
    turn.extend(tcp.map(|address| format!("turn:{address}?transport=tcp")));
    if let Some(host) = &config.host {
        let mut ports: Vec<_> = of(TurnTransport::Tls).iter().map(SocketAddr::port).collect();
        ports.dedup();
        turn.extend(ports.iter().map(|port| format!("turns:{host}:{port}?transport=tcp")));
    }
    let stun = udp.iter().map(|address| format!("stun:{address}")).collect();
    IceUrls { stun, turn, others: config.others.clone() }
}

/// Where a client that came by `local` reaches listeners of one transport.
fn addresses(listeners: &[TurnListener], local: Option<IpAddr>) -> Vec<SocketAddr> {
    let public: Vec<_> = listeners.iter().filter_map(|listener| listener.public).collect();
    let bound: Vec<_> =
        listeners.iter().filter_map(|listener| reached(listener.bound, local)).collect();
    let pick = |wanted: &dyn Fn(&SocketAddr) -> bool| -> Vec<_> {
        bound.iter().copied().filter(|address| wanted(address)).collect()
    };
    let choices = [
        public,
        pick(&|address| Some(address.ip()) == local),
        pick(&|address| !address.ip().is_loopback()),
        pick(&|_| true),
    ];
    let mut chosen = choices.into_iter().find(|choice| !choice.is_empty()).unwrap_or_default();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// Where a client that came by `local` reaches a listener; nowhere if that can't be known.
fn reached(bound: SocketAddr, local: Option<IpAddr>) -> Option<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return Some(bound);
    }
    local
        .filter(|local| local.is_ipv4() || bound.is_ipv6())
        .map(|local| SocketAddr::new(local, bound.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(bound: &str, public: Option<&str>) -> TurnListener {
        let public = public.map(|text| text.parse().unwrap());
        TurnListener { transport: TurnTransport::Udp, bound: bound.parse().unwrap(), public }
    }

    fn told(listeners: &[TurnListener], local: &str) -> Vec<String> {
        let config = IceConfig { turn: listeners.to_vec(), ..IceConfig::default() };
        urls(&config, Some(local.parse().unwrap())).turn
    }

    #[test]
    fn a_public_address_is_all_that_is_told() {
        let listeners =
            [turn("10.0.0.5:3478", Some("203.0.113.7:3478")), turn("127.0.0.1:3478", None)];
        assert_eq!(told(&listeners, "10.0.0.5"), ["turn:203.0.113.7:3478?transport=udp"]);
    }

    #[test]
    fn the_address_that_the_client_reached_comes_first() {
        let listeners = [turn("10.0.0.5:3478", None), turn("127.0.0.1:3479", None)];
        assert_eq!(told(&listeners, "127.0.0.1"), ["turn:127.0.0.1:3479?transport=udp"]);
        assert_eq!(told(&listeners, "::ffff:10.0.0.5"), ["turn:10.0.0.5:3478?transport=udp"]);
        assert_eq!(told(&listeners, "192.0.2.9"), ["turn:10.0.0.5:3478?transport=udp"]);
    }

    #[test]
    fn each_transport_is_told_and_tls_only_by_name() {
        let by = |transport, bound| TurnListener { transport, ..turn(bound, None) };
        let listeners = [
            turn("10.0.0.5:3478", None),
            by(TurnTransport::Tcp, "10.0.0.5:3478"),
            by(TurnTransport::Tcp, "127.0.0.1:3478"),
            by(TurnTransport::Tls, "10.0.0.5:443"),
            by(TurnTransport::Tls, "[fd00::5]:443"),
        ];
        let plain = ["turn:10.0.0.5:3478?transport=udp", "turn:10.0.0.5:3478?transport=tcp"];
        assert_eq!(told(&listeners, "10.0.0.5"), plain);
        let host = Some("meet.example".to_owned());
        let config = IceConfig { turn: listeners.to_vec(), host, ..IceConfig::default() };
        let told = urls(&config, Some("10.0.0.9".parse().unwrap()));
        assert_eq!(told.turn, [&plain[..], &["turns:meet.example:443?transport=tcp"]].concat());
        assert_eq!(told.stun, ["stun:10.0.0.5:3478"]);
    }

    /// A client whose NAT has another outside address for each of them learns so that it does.
    #[test]
    fn a_second_port_is_a_second_stun_server() {
        let turn = vec![turn("10.0.0.5:3478", None), turn("10.0.0.5:3479", None)];
        let config = IceConfig { turn, ..IceConfig::default() };
        let told = urls(&config, Some("10.0.0.5".parse().unwrap()));
        assert_eq!(told.stun, ["stun:10.0.0.5:3478", "stun:10.0.0.5:3479"]);
    }

    #[test]
    fn loopback_is_better_than_nothing() {
        assert_eq!(
            told(&[turn("[::1]:3478", None)], "10.0.0.5"),
            ["turn:[::1]:3478?transport=udp"]
        );
        assert!(told(&[], "10.0.0.5").is_empty());
    }

    #[test]
    fn a_wildcard_is_told_as_the_address_that_the_client_reached() {
        let listeners = [turn("0.0.0.0:3478", None)];
        assert_eq!(told(&listeners, "10.0.0.5"), ["turn:10.0.0.5:3478?transport=udp"]);
        assert!(told(&listeners, "2001:db8::1").is_empty(), "an IPv4 socket isn't reached by IPv6");
    }

    #[test]
    fn stun_is_told_beside_turn() {
        let config = IceConfig { turn: vec![turn("192.0.2.1:3478", None)], ..IceConfig::default() };
        let urls = urls(&config, None);
        assert_eq!(urls.stun, ["stun:192.0.2.1:3478"]);
    }
}
