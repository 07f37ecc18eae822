//! Whom an allocation may talk to: its permissions and channels. RFC 8656 §3.3, §3.5.

use crate::wire::ChannelNumber;
use crate::{CHANNEL_LIFETIME, PERMISSION_LIFETIME};
use heliograph_base::Time;
use std::net::{IpAddr, SocketAddr};

/// The permissions and channels of one allocation. Few, so they are scanned; what has expired is
/// passed over, and forgotten when the next one comes.
#[derive(Debug, Default)]
pub(super) struct Peers {
    permissions: Few<Permission>,
    channels: Few<Channel>,
}

/// A list that has its first entry in itself, where a packet finds it beside the rest of its
/// allocation: most have one peer.
#[derive(Debug)]
struct Few<T> {
    first: Option<T>,
    others: Vec<T>,
}

/// The leave to exchange packets with an IP address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permission {
    peer: IpAddr,
    /// Whether it holds on the network too, or only inside the relay.
    pub(super) on_network: bool,
    expires: Time,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    number: ChannelNumber,
    /// The peer; in 12 bytes less than a `SocketAddr`.
    port: u16,
    ip: IpAddr,
    expires: Time,
}

/// Why a channel isn't bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unbound {
    /// The number has another peer, or the peer another number.
    Taken,
    /// There are as many channels as there may be.
    Full,
}

impl Peers {
    /// What four permissions and four channels more take, which is where a vector begins.
    #[cfg(test)]
    pub(super) const BYTES_OF_FOUR: usize = 4 * (size_of::<Permission>() + size_of::<Channel>());

    /// The live permission for `peer`.
    pub(super) fn permission(&self, now: Time, peer: IpAddr) -> Option<&Permission> {
        let mut permissions = self.permissions.iter();
        permissions.find(|permission| permission.peer == peer && now < permission.expires)
    }

    /// How many new permissions those for all of `peers` are, if they fit.
    pub(super) fn new_permissions(
        &self,
        now: Time,
        peers: impl Iterator<Item = IpAddr>,
        max: usize,
    ) -> Option<usize> {
        let mut new: Vec<IpAddr> = Vec::new();
        let live = self.permissions.iter().filter(|permission| now < permission.expires).count();
        for peer in peers {
            if self.permission(now, peer).is_none() && !new.contains(&peer) {
                if live + new.len() >= max {
                    return None;
                }
                new.push(peer);
            }
        }
        Some(new.len())
    }

    /// Installs or refreshes a permission. Whether it fits was asked before.
    pub(super) fn permit(&mut self, now: Time, peer: IpAddr, on_network: bool) {
        self.permissions.retain(|permission| now < permission.expires && permission.peer != peer);
        self.permissions.push(Permission { peer, on_network, expires: now + PERMISSION_LIFETIME });
    }

    /// The peer of a live channel.
    pub(super) fn channel_peer(&self, now: Time, number: ChannelNumber) -> Option<SocketAddr> {
        let mut channels = self.channels.iter();
        let channel = channels.find(|channel| channel.number == number && now < channel.expires)?;
        Some(SocketAddr::new(channel.ip, channel.port))
    }

    /// The live channel to a peer.
    pub(super) fn channel_to(&self, now: Time, peer: SocketAddr) -> Option<ChannelNumber> {
        let mut channels = self.channels.iter();
        let channel = channels.find(|channel| channel.leads_to(peer) && now < channel.expires)?;
        Some(channel.number)
    }

    /// Whether `number` can be bound to `peer`: both are free, or bound to each other.
    pub(super) fn can_bind(
        &self,
        now: Time,
        number: ChannelNumber,
        peer: SocketAddr,
        max: usize,
    ) -> Result<(), Unbound> {
        match (self.channel_peer(now, number), self.channel_to(now, peer)) {
            (Some(bound), _) if bound == peer => Ok(()),
            (None, None) => {
                let live = self.channels.iter().filter(|channel| now < channel.expires).count();
                if live < max { Ok(()) } else { Err(Unbound::Full) }
            }
            (Some(_), _) | (None, Some(_)) => Err(Unbound::Taken),
        }
    }

    /// Binds or refreshes a channel. Whether it can be bound was asked before.
    pub(super) fn bind(&mut self, now: Time, number: ChannelNumber, peer: SocketAddr) {
        self.channels.retain(|channel| now < channel.expires && channel.number != number);
        let (ip, port) = (peer.ip(), peer.port());
        self.channels.push(Channel { number, port, ip, expires: now + CHANNEL_LIFETIME });
    }
}

impl Channel {
    fn leads_to(&self, peer: SocketAddr) -> bool {
        self.port == peer.port() && self.ip == peer.ip()
    }
}

impl<T> Few<T> {
    fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.others)
    }

    fn retain(&mut self, is_kept: impl Fn(&T) -> bool) {
        self.first.take_if(|entry| !is_kept(entry));
        self.others.retain(is_kept);
    }

    fn push(&mut self, entry: T) {
        if self.first.is_none() {
            self.first = Some(entry);
        } else {
            self.others.push(entry);
        }
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { first: None, others: Vec::new() }
    }
}
