//! One `RTCPeerConnection` of crate `webrtc`, set up the way Heliograph's peers agree on.

use super::addresses::LocalAddresses;
use super::runtime::KickRuntime;
use super::signal::{Candidate, Description, Kind};
use super::{Input, Notice};
use crate::Channel;
use crate::config::{
    CHECK_INTERVAL, CHECKS_MAX, PEER_REFLEXIVE_WAIT, REFLEXIVE_WAIT, RELAY_WAIT, SEND_BUFFER_BYTES,
};
use async_trait::async_trait;
use rtc::crypto::SignatureScheme;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::certificate::CertificateParams;
use signal_core::protocol::IceServer;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, RTCDataChannelInit};
use webrtc::error::Result;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCCertificate,
    RTCConfigurationBuilder, RTCIceCandidateInit, RTCIceGatheringState, RTCIceServer,
    RTCIceTransportPolicy, RTCPeerConnectionIceEvent, RTCPeerConnectionState,
    RTCSessionDescription, SettingEngineBuilder,
};

/// What all links of a room have in common.
#[derive(Clone, Debug)]
pub(crate) struct IceSetup {
    pub(crate) servers: Vec<IceServer>,
    pub(crate) relay_only: bool,
    pub(crate) addresses: LocalAddresses,
    pub(crate) identity: Option<Identity>,
}

/// The certificate of all links of a room, by which others know us again on a new seat.
#[derive(Clone, Debug)]
pub(crate) struct Identity(RTCCertificate);

impl Identity {
    /// Makes one; none if this machine can't, so that each link makes its own.
    pub(crate) fn generate() -> Option<Self> {
        Self::try_generate()
            .inspect_err(|error| tracing::debug!(%error, "each link makes its own certificate"))
            .ok()
    }

    fn try_generate() -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let provider = rtc::crypto::default_provider()?;
        let params = CertificateParams::new(vec!["heliograph".to_owned()])?;
        let scheme = SignatureScheme::EcdsaP256Sha256;
        Ok(Self(RTCCertificate::generate(provider.crypto(), scheme, params)?))
    }
}

/// A peer connection with its two channels.
pub(super) struct Connection {
    inner: Arc<dyn PeerConnection>,
    pub(super) reliable: Arc<dyn DataChannel>,
    pub(super) lossy: Arc<dyn DataChannel>,
}

impl Connection {
    /// Opens the sockets and starts the driver, which reports to `notices`.
    pub(super) async fn open(setup: &IceSetup, notices: mpsc::Sender<Input>) -> Result<Self> {
        // Browsers hide their addresses behind mDNS names. To ask for them needs multicast, which
        // not every network has; without it, the peer's checks reveal its address.
        let inner = match build(setup, &notices, MulticastDnsMode::QueryOnly).await {
            Ok(inner) => inner,
            Err(error) => {
                tracing::debug!(%error, "trying without mDNS");
                build(setup, &notices, MulticastDnsMode::Disabled).await?
            }
        };
        let reliable = RTCDataChannelInit { negotiated: Some(0), ..RTCDataChannelInit::default() };
        let lossy = RTCDataChannelInit {
            negotiated: Some(1),
            ordered: false,
            max_retransmits: Some(0),
            ..RTCDataChannelInit::default()
        };
        Ok(Self {
            reliable: inner.create_data_channel("reliable", Some(reliable)).await?,
            lossy: inner.create_data_channel("lossy", Some(lossy)).await?,
            inner,
        })
    }

    pub(super) fn inner(&self) -> &Arc<dyn PeerConnection> {
        &self.inner
    }

    pub(super) fn channel(&self, channel: Channel) -> Arc<dyn DataChannel> {
        Arc::clone(match channel {
            Channel::Reliable => &self.reliable,
            Channel::Lossy => &self.lossy,
        })
    }

    /// Makes an offer and sets it, so that gathering starts.
    pub(super) async fn offer(&self) -> Result<Description> {
        let offer = self.inner.create_offer(None).await?;
        self.inner.set_local_description(offer.clone()).await?;
        Ok(Description { kind: Kind::Offer, sdp: offer.sdp })
    }

    /// Makes an answer and sets it, so that gathering starts.
    pub(super) async fn answer(&self) -> Result<Description> {
        let answer = self.inner.create_answer(None).await?;
        self.inner.set_local_description(answer.clone()).await?;
        Ok(Description { kind: Kind::Answer, sdp: answer.sdp })
    }

    pub(super) async fn rollback(&self) -> Result<()> {
        self.inner.set_local_description(RTCSessionDescription::rollback(None)?).await
    }

    pub(super) async fn accept(&self, description: Description) -> Result<()> {
        let description = match description.kind {
            Kind::Offer => RTCSessionDescription::offer(description.sdp)?,
            Kind::Answer => RTCSessionDescription::answer(description.sdp)?,
            Kind::Rollback => RTCSessionDescription::rollback(None)?,
        };
        self.inner.set_remote_description(description).await
    }

    pub(super) async fn add(&self, candidate: Candidate) -> Result<()> {
        let init = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_m_line_index,
            username_fragment: candidate.username_fragment,
            url: None,
        };
        self.inner.add_ice_candidate(init).await
    }

    /// Takes other servers, for when candidates are gathered again.
    pub(super) async fn set_ice(&self, setup: &IceSetup) {
        if let Err(error) = self.inner.set_configuration(configuration(setup).build()).await {
            tracing::debug!(%error, "a connection doesn't take new ICE servers");
        }
    }

    pub(super) async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

async fn build(
    setup: &IceSetup,
    notices: &mpsc::Sender<Input>,
    mdns: MulticastDnsMode,
) -> Result<Arc<dyn PeerConnection>> {
    let certificates = setup.identity.iter().map(|identity| identity.0.clone()).collect();
    let relay_wait = if setup.relay_only { Duration::ZERO } else { RELAY_WAIT };
    let settings = SettingEngineBuilder::new()
        .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECKS_MAX))
        .with_srflx_acceptance_min_wait(Some(REFLEXIVE_WAIT))
        .with_prflx_acceptance_min_wait(Some(relay_wait.min(PEER_REFLEXIVE_WAIT)))
        .with_relay_acceptance_min_wait(Some(relay_wait))
        .with_multicast_dns_mode(mdns)
        .build();
    let handler = Handler { notices: notices.clone() };
    let inner = PeerConnectionBuilder::new()
        .with_configuration(configuration(setup).with_certificates(certificates).build())
        .with_setting_engine(settings)
        .with_runtime(Arc::new(KickRuntime))
        .with_handler(Arc::new(handler))
        .with_udp_addrs(vec![setup.addresses])
        .with_data_channel_send_buffer_limit(SEND_BUFFER_BYTES)
        .build()
        .await?;
    Ok(Arc::new(inner))
}

/// Without the certificate: webrtc doesn't take one later, not even the same.
fn configuration(setup: &IceSetup) -> RTCConfigurationBuilder {
    let policy = match setup.relay_only {
        true => RTCIceTransportPolicy::Relay,
        false => RTCIceTransportPolicy::All,
    };
    RTCConfigurationBuilder::default()
        .with_ice_servers(setup.servers.iter().map(ice_server).collect())
        .with_ice_transport_policy(policy)
}

fn ice_server(server: &IceServer) -> RTCIceServer {
    RTCIceServer {
        urls: server.urls.clone(),
        username: server.username.clone().unwrap_or_default(),
        credential: server.credential.clone().unwrap_or_default(),
    }
}

/// Passes the driver's callbacks on. They run on the driver's task, so nothing here may wait.
struct Handler {
    notices: mpsc::Sender<Input>,
}

impl Handler {
    fn notify(&self, notice: Notice) {
        if self.notices.try_send(Input::Notice(notice)).is_err() {
            tracing::warn!("a notice of the connection is lost: its link is gone or overloaded");
        }
    }
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let Ok(init) = event.candidate.to_json() else {
            return;
        };
        // There is one m-section, the data channels': its index names it, whatever its mid is.
        self.notify(Notice::Candidate(Candidate {
            candidate: init.candidate,
            sdp_mid: None,
            sdp_m_line_index: Some(0),
            username_fragment: None,
        }));
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.notify(Notice::Gathered);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.notify(Notice::State(state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Loopback;

    fn setup(username: &str, identity: &Option<Identity>) -> IceSetup {
        let turn = IceServer {
            urls: vec!["turn:127.0.0.1:9?transport=udp".to_owned()],
            username: Some(username.to_owned()),
            credential: Some("secret".to_owned()),
        };
        let addresses = LocalAddresses { loopback: Loopback::Only };
        let identity = identity.clone();
        IceSetup { servers: vec![turn], relay_only: true, addresses, identity }
    }

    #[tokio::test]
    async fn an_open_connection_takes_new_servers_and_keeps_its_certificate() -> Result<()> {
        let identity = Identity::generate();
        assert!(identity.is_some());
        let (notices, _inputs) = mpsc::channel(16);
        let one = Connection::open(&setup("old", &identity), notices.clone()).await?;
        one.set_ice(&setup("new", &identity)).await;
        let configuration = one.inner.get_configuration().await;
        assert_eq!(configuration.ice_servers()[0].username, "new");
        let other = Connection::open(&setup("old", &identity), notices).await?;
        let (offer, same) = (one.offer().await?, other.offer().await?);
        assert!(offer.fingerprint().is_some());
        assert_eq!(offer.fingerprint(), same.fingerprint());
        one.close().await?;
        other.close().await
    }
}
