//! The nftables rules by which a Linux router becomes a [`Gate`].
//!
//! Its inner interface is `lan`, its outer one `wan`. Only UDP is told apart: TCP goes by plain
//! masquerading.
//!
//! Connection tracking alone is a port-restricted NAT: it keeps the port of a host as long as
//! nobody else has it, and lets in who was sent to. More liberal ones learn which host sends from
//! which port, and lead others there.

use crate::nat::{Egress, Filtering, Gate, Mapping, Nat};
use anyhow::{Result, bail};
use std::net::Ipv4Addr;

/// Mappings that a router learns at most; the oldest ones time out.
const MAPPINGS_MAX: usize = 65_535;

/// What `nft -f` makes of an empty router whose outside address is `wan`.
///
/// # Errors
/// If the kernel's rules can't say it: a mapping that varies can neither let in strangers nor
/// hairpin, since only connection tracking knows its ports.
pub(crate) fn rules(gate: &Gate, wan: Ipv4Addr) -> Result<String> {
    let nat = &gate.nat;
    let varies = nat.mapping != Mapping::EndpointIndependent;
    if varies && (nat.hairpin || nat.filtering != Filtering::AddressAndPortDependent) {
        bail!("{nat:?} can't be made of nftables rules: its mapping varies");
    }
    let timeout_s = nat.timeout.as_secs();
    let sized = format!("flags dynamic, timeout; timeout {timeout_s}s; size {MAPPINGS_MAX};");
    let (enter, leave) = (enter(nat, wan), leave(nat, wan));
    let out = out(gate.egress);
    Ok(format!(
        r#"
table ip nat {{
    map owners {{ type inet_service : ipv4_addr; {sized} }}
    set asked {{ type inet_service . ipv4_addr; {sized} }}
    chain learn {{
        type filter hook prerouting priority mangle;
        iifname "lan" meta l4proto udp update @owners {{ udp sport : ip saddr }}
        iifname "lan" meta l4proto udp update @asked {{ udp sport . ip daddr }}
    }}
    chain enter {{
        type nat hook prerouting priority dstnat;
        {enter}
    }}
    chain leave {{
        type nat hook postrouting priority srcnat;
        {leave}
    }}
}}
table inet filter {{
    chain input {{
        # A rejection would take the port of a mapping that is about to be made.
        type filter hook input priority filter;
        iifname "wan" meta l4proto {{ tcp, udp }} ct state new drop
    }}
    chain forward {{
        type filter hook forward priority filter;
        {out}
        iifname "wan" ct status dnat accept
        iifname "wan" ct state new drop
    }}
}}
"#
    ))
}

/// Leads what comes to an outside port to the host that sends from it.
fn enter(nat: &Nat, wan: Ipv4Addr) -> String {
    let to_owner = "dnat ip to udp dport map @owners";
    let from_outside = match nat.filtering {
        Filtering::EndpointIndependent => {
            format!("iifname \"wan\" meta l4proto udp {to_owner}\n")
        }
        Filtering::AddressDependent => {
            format!("iifname \"wan\" udp dport . ip saddr @asked {to_owner}\n")
        }
        Filtering::AddressAndPortDependent => String::new(),
    };
    let from_inside = match nat.hairpin {
        true => format!("iifname \"lan\" ip daddr {wan} meta l4proto udp {to_owner}\n"),
        false => String::new(),
    };
    from_outside + &from_inside
}

/// Gives what leaves the outside address, and a port.
fn leave(nat: &Nat, wan: Ipv4Addr) -> String {
    let udp = match nat.mapping {
        Mapping::EndpointIndependent => String::new(),
        Mapping::AddressDependent => format!(
            "oifname \"wan\" meta l4proto udp snat ip to {wan} : \
             jhash ip saddr . udp sport . ip daddr mod 40000 seed 1 offset 20000\n"
        ),
        Mapping::AddressAndPortDependent => {
            "oifname \"wan\" meta l4proto udp masquerade fully-random\n".to_owned()
        }
    };
    let hairpin = match nat.hairpin {
        true => format!("iifname \"lan\" oifname \"lan\" ct status dnat snat ip to {wan}\n"),
        false => String::new(),
    };
    udp + &hairpin + "oifname \"wan\" masquerade"
}

/// Lets only some of it out.
fn out(egress: Egress) -> &'static str {
    match egress {
        Egress::All => "",
        Egress::NoUdp => r#"iifname "lan" meta l4proto udp drop"#,
        Egress::OnlyTcp443 => "iifname \"lan\" tcp dport 443 accept\n        iifname \"lan\" drop",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_cannot_do_is_refused() {
        let made = |nat: Nat| rules(&nat.into(), Ipv4Addr::new(203, 0, 113, 2));
        assert!(made(Nat::SYMMETRIC.with_hairpin()).is_err());
        let strange = Nat { mapping: Mapping::AddressDependent, ..Nat::FULL_CONE };
        assert!(made(strange).is_err());
        assert!(made(Nat::FULL_CONE.with_hairpin()).is_ok());
    }
}
