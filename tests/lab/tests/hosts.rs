//! A machine is whole when it's made: nothing about its network changes later by itself. What
//! changes is a change of networks for the programs in it, and a browser breaks off what it loads.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use heliograph_lab::{Kind, World};
use std::time::Duration;

/// How often is asked: the kernel would look for doubles of an address for a second at least.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

#[test]
fn a_host_has_its_addresses_from_the_start() {
    let mut world = World::new().unwrap();
    for (name, kind) in [("old", Kind::PortRestricted), ("new", Kind::Ipv6Only)] {
        let host = world.peer(name, kind).unwrap();
        let is_whole = (0..LOOKS).any(|_| {
            std::thread::sleep(PAUSE);
            let mut command = host.space().command("ip");
            let output = command.args(["-6", "addr", "show", "dev", "eth0"]).output().unwrap();
            let addresses = String::from_utf8(output.stdout).unwrap();
            addresses.contains("fe80::") && !addresses.contains("tentative")
        });
        assert!(is_whole, "{kind}: the kernel still looks for doubles of an address");
    }
}
