//! Where a run takes place: on loopback, or over a cable of its own between two network
//! namespaces.
//!
//! The namespaces have no names: they go away with the last process in them and the last descriptor
//! of them, however the benchmark ends.

use crate::sys;
use anyhow::{Context as _, ensure};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::{Command, Stdio};

/// The two ends of a run.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) server: Ipv4Addr,
    pub(crate) own: Ipv4Addr,
    /// Both, as a server is told which peers it may send to.
    pub(crate) network: &'static str,
    cable: Option<Cable>,
}

/// A veth pair. While it lives, this thread is at its near end.
#[derive(Debug)]
struct Cable {
    server: OwnedFd,
    home: OwnedFd,
}

impl Site {
    pub(crate) fn loopback() -> Self {
        let ip = Ipv4Addr::LOCALHOST;
        Self { server: ip, own: ip, network: "127.0.0.0/8", cable: None }
    }

    /// Lays a cable, over which each datagram goes by itself, and whose ends merge what they
    /// receive (GRO).
    ///
    /// # Errors
    /// It takes root and `ip` of iproute2.
    pub(crate) fn cable() -> anyhow::Result<Self> {
        let cable = Cable::lay().context("no network namespaces with a veth pair (needs root)")?;
        Ok(Self {
            server: Ipv4Addr::new(198, 18, 0, 1),
            own: Ipv4Addr::new(198, 18, 0, 2),
            network: "198.18.0.0/24",
            cable: Some(cable),
        })
    }

    /// Has a server start at its end.
    pub(crate) fn place(&self, command: &mut Command) {
        if let Some(cable) = &self.cable {
            sys::start_inside(command, &cable.server);
        }
    }
}

impl Cable {
    fn lay() -> anyhow::Result<Self> {
        let (server, own) = (sys::new_network()?, sys::new_network()?);
        let cable = Self { server, home: sys::current_network()? };
        let own_path = format!("/proc/{}/fd/{}", std::process::id(), own.as_raw_fd());
        let make = format!("link add relay type veth peer name load netns {own_path}");
        ip(&cable.server, &["link set lo up", &make])?;
        finish(&cable.server, "relay", "198.18.0.1/24")?;
        ip(&own, &["link set lo up"])?;
        finish(&own, "load", "198.18.0.2/24")?;
        sys::enter_network(own.as_fd())?;
        sys::merge_received("load")?;
        sys::enter_network(cable.server.as_fd())?;
        sys::merge_received("relay")?;
        sys::enter_network(own.as_fd())?;
        Ok(cable)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        sys::enter_network(self.home.as_fd()).expect("one can go back to where one was");
    }
}

/// Gives one end its address. Trains are cut before they leave it, as by a network card that can't.
fn finish(network: &OwnedFd, end: &str, address: &str) -> anyhow::Result<()> {
    let address = format!("address add {address} dev {end}");
    ip(network, &[&address, &format!("link set dev {end} gso_max_segs 1 up")])
}

fn ip(network: &OwnedFd, commands: &[&str]) -> anyhow::Result<()> {
    for arguments in commands {
        let mut command = Command::new("ip");
        command.args(arguments.split_whitespace()).stdin(Stdio::null());
        sys::start_inside(&mut command, network);
        ensure!(command.status().context("ip")?.success(), "ip {arguments} fails");
    }
    Ok(())
}
