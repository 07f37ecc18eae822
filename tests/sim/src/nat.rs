//! What a way to the internet does to packets, in the words of RFC 4787: plain data and theory, no
//! IO.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// For which destinations a NAT uses one outside port again. RFC 4787 §4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mapping {
    /// For all.
    EndpointIndependent,
    /// For all ports of one address.
    AddressDependent,
    /// For one port of one address.
    AddressAndPortDependent,
}

/// Whose packets a NAT lets in by an outside port. RFC 4787 §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filtering {
    /// Everybody's.
    EndpointIndependent,
    /// Those of the addresses that were sent to.
    AddressDependent,
    /// Those of the addresses and ports that were sent to.
    AddressAndPortDependent,
}

/// A NAT for UDP; TCP gets out and nothing comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nat {
    /// For which destinations an outside port stays the same.
    pub mapping: Mapping,
    /// Who may answer to it.
    pub filtering: Filtering,
    /// Whether two hosts behind it reach each other by their outside addresses. RFC 4787 §6.
    pub hairpin: bool,
    /// How long a mapping lasts without a packet from inside. RFC 4787 §4.3.
    pub timeout: Duration,
}

/// What a router lets out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Egress {
    /// Everything.
    All,
    /// Everything but UDP.
    NoUdp,
    /// TCP to port 443, as the web needs it, and nothing else.
    OnlyTcp443,
}

/// Which IP version a host has: never both, so that it's clear by which it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A router between a network and the one outside of it. Nothing comes in that wasn't asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gate {
    /// How it translates IPv4. IPv6 is routed as it is.
    pub nat: Nat,
    /// What it lets out.
    pub egress: Egress,
}

/// The ways to the internet that the grid has names for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A public address, and nothing between.
    Open,
    /// The most liberal NAT.
    FullCone,
    /// A NAT that lets in who was sent to, from any port.
    AddressRestricted,
    /// The NAT of most homes.
    PortRestricted,
    /// A NAT with another port for each address.
    AddressSymmetric,
    /// A NAT with another port for each destination, as in offices and with mobile carriers.
    Symmetric,
    /// The NAT of a home behind that of a carrier.
    Double,
    /// A home whose NAT forgets after five seconds.
    ShortLived,
    /// A firewall that lets no UDP out.
    UdpBlocked,
    /// A firewall that lets nothing out but TCP to port 443.
    Only443,
    /// IPv6 and no IPv4, behind a firewall.
    Ipv6Only,
}

impl Mapping {
    /// The words of RFC 4787 §4.1.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address and port-dependent",
        }
    }
}

impl Filtering {
    /// The words of RFC 4787 §5.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address and port-dependent",
        }
    }
}

impl Nat {
    /// Maps and filters alike for all.
    pub const FULL_CONE: Self = Self {
        mapping: Mapping::EndpointIndependent,
        filtering: Filtering::EndpointIndependent,
        hairpin: false,
        timeout: Duration::from_secs(120), // RFC 4787 §4.3: at least two minutes.
    };

    /// Lets in who was sent to, from any port.
    pub const ADDRESS_RESTRICTED: Self =
        Self { filtering: Filtering::AddressDependent, ..Self::FULL_CONE };

    /// Lets in who was sent to.
    pub const PORT_RESTRICTED: Self =
        Self { filtering: Filtering::AddressAndPortDependent, ..Self::FULL_CONE };

    /// Has another port for each address.
    pub const ADDRESS_SYMMETRIC: Self =
        Self { mapping: Mapping::AddressDependent, ..Self::PORT_RESTRICTED };

    /// Has another port for each destination.
    pub const SYMMETRIC: Self =
        Self { mapping: Mapping::AddressAndPortDependent, ..Self::PORT_RESTRICTED };

    /// The same with hairpinning.
    #[must_use]
    pub const fn with_hairpin(self) -> Self {
        Self { hairpin: true, ..self }
    }

    /// The same, but it forgets sooner or later.
    #[must_use]
    pub const fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

impl From<Nat> for Gate {
    fn from(nat: Nat) -> Self {
        Self { nat, egress: Egress::All }
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::FullCone,
        Self::AddressRestricted,
        Self::PortRestricted,
        Self::AddressSymmetric,
        Self::Symmetric,
        Self::Double,
        Self::ShortLived,
        Self::UdpBlocked,
        Self::Only443,
        Self::Ipv6Only,
    ];

    /// Its name on the command line and in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::FullCone => "full-cone",
            Self::AddressRestricted => "address-restricted",
            Self::PortRestricted => "port-restricted",
            Self::AddressSymmetric => "address-symmetric",
            Self::Symmetric => "symmetric",
            Self::Double => "double",
            Self::ShortLived => "short-lived",
            Self::UdpBlocked => "udp-blocked",
            Self::Only443 => "only-443",
            Self::Ipv6Only => "ipv6-only",
        }
    }

    /// The routers on the way out, the outermost first.
    #[must_use]
    pub fn gates(self) -> Vec<Gate> {
        let home = Nat::PORT_RESTRICTED;
        let blocked = |egress| vec![Gate { nat: home, egress }];
        match self {
            Self::Open => Vec::new(),
            Self::FullCone => vec![Nat::FULL_CONE.into()],
            Self::AddressRestricted => vec![Nat::ADDRESS_RESTRICTED.into()],
            Self::PortRestricted | Self::Ipv6Only => vec![home.into()],
            Self::AddressSymmetric => vec![Nat::ADDRESS_SYMMETRIC.into()],
            Self::Symmetric => vec![Nat::SYMMETRIC.into()],
            Self::Double => vec![Nat::ADDRESS_RESTRICTED.into(), home.into()],
            Self::ShortLived => vec![home.with_timeout(Duration::from_secs(5)).into()],
            Self::UdpBlocked => blocked(Egress::NoUdp),
            Self::Only443 => blocked(Egress::OnlyTcp443),
        }
    }

    /// What it is, in a few words.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Open => "a public address, no NAT",
            Self::FullCone => "one outside port; everybody may send to it",
            Self::AddressRestricted => "one outside port; addresses that were sent to may answer",
            Self::PortRestricted => {
                "one outside port; addresses and ports that were sent to may answer"
            }
            Self::AddressSymmetric => "an outside port for each address, which may answer",
            Self::Symmetric => "an outside port for each address and port, which may answer",
            Self::Double => "a port-restricted home behind an address-restricted carrier",
            Self::ShortLived => "port-restricted, and forgets after 5 s",
            Self::UdpBlocked => "a firewall that lets no UDP out",
            Self::Only443 => "a firewall that lets out TCP to port 443 and nothing else",
            Self::Ipv6Only => "IPv6 and no IPv4, behind a firewall",
        }
    }

    /// The IP version of its hosts.
    #[must_use]
    pub fn family(self) -> Family {
        if self == Self::Ipv6Only { Family::V6 } else { Family::V4 }
    }

    /// What all NATs on the way do together, as a probe sees it; `None` where no UDP gets out.
    #[must_use]
    pub fn behavior(self) -> Option<(Mapping, Filtering)> {
        let gates = self.gates();
        if gates.iter().any(|gate| gate.egress != Egress::All) {
            return None;
        }
        let mapping = gates.iter().map(|gate| gate.nat.mapping).max();
        let filtering = gates.iter().map(|gate| gate.nat.filtering).max();
        // IPv6 isn't translated, so its ports stay.
        let mapping = mapping.filter(|_| self.family() == Family::V4);
        Some((
            mapping.unwrap_or(Mapping::EndpointIndependent),
            filtering.unwrap_or(Filtering::EndpointIndependent),
        ))
    }

    /// Whether two hosts can find a direct path, each by the address that a STUN server told it.
    ///
    /// Each sends to the address that it was told of the other. Where the other's port turns out
    /// to be a different one, only a NAT that looks at ports keeps it out; its own packets then go
    /// to the wrong place.
    #[must_use]
    pub fn is_direct_with(self, other: Self) -> bool {
        let (Some(a), Some(b)) = (self.behavior(), other.behavior()) else { return false };
        let reaches = |(mapping, _), (_, filtering)| {
            mapping == Mapping::EndpointIndependent
                || filtering != Filtering::AddressAndPortDependent
        };
        self.family() == other.family() && reaches(a, b) && reaches(b, a)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("{name:?} is none of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_port_that_varies_and_a_filter_that_looks_at_ports_keep_two_apart() {
        let direct = |a: Kind, b: Kind| {
            assert_eq!(a.is_direct_with(b), b.is_direct_with(a), "{a} and {b}");
            a.is_direct_with(b)
        };
        assert!(direct(Kind::PortRestricted, Kind::PortRestricted));
        assert!(direct(Kind::Symmetric, Kind::AddressRestricted));
        assert!(direct(Kind::Symmetric, Kind::Open));
        assert!(!direct(Kind::Symmetric, Kind::PortRestricted));
        assert!(!direct(Kind::Symmetric, Kind::Double));
        assert!(!direct(Kind::AddressSymmetric, Kind::Symmetric));
        assert!(!direct(Kind::UdpBlocked, Kind::Open));
        assert!(!direct(Kind::Ipv6Only, Kind::Open));
        assert!(direct(Kind::Ipv6Only, Kind::Ipv6Only));
    }

    #[test]
    fn a_name_leads_back_to_its_kind() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("cone".parse::<Kind>().is_err_and(|text| text.contains("full-cone")));
    }
}
