//! One `RTCPeerConnection` of crate `webrtc`, set up the way Heliograph's peers agree on.

use super::addresses::LocalAddresses;
use super::channel::DataChannel;
use super::config::{CHECK_INTERVAL, CHECKS_MAX, REFLEXIVE_WAIT, RELAY_WAIT};
use super::runtime::KickRuntime;
use crate::config::SEND_BUFFER_BYTES;
use crate::link::{
    Candidate, ConnectionState, Description, Failed, IceSetup, Kind, Measures, Notice, Notices,
};
use crate::{CandidateType, ChannelOptions, Path, Protocol};
use async_trait::async_trait;
use rtc::crypto::SignatureScheme;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::certificate::CertificateParams;
use rtc::peer_connection::transport::RTCDtlsTransportState;
use signal_core::protocol::{DtlsState, IceServer};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use webrtc::data_channel::RTCDataChannelInit;
use webrtc::error::{Error, Result};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCCertificate,
    RTCConfigurationBuilder, RTCIceCandidate, RTCIceCandidateInit, RTCIceCandidateType,
    RTCIceGatheringState, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnectionIceErrorEvent,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription, RTCStatsReport,
    RTCStatsReportEntry, SettingEngineBuilder, StatsSelector,
};
use webrtc::runtime::{Runtime, TokioRuntime};

type Outcome<T, E = Failed> = std::result::Result<T, E>;

/// Opens the connections of a room, which all show the same certificate.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    certificate: Option<RTCCertificate>,
}

impl Connector {
    pub(crate) fn new() -> Self {
        let certificate = generate()
            .inspect_err(|error| tracing::debug!(%error, "each link makes its own certificate"));
        Self { certificate: certificate.ok() }
    }

    /// Opens the sockets and starts the driver, which reports to `notices`.
    pub(crate) async fn open(&self, setup: &IceSetup, notices: Notices) -> Outcome<Connection> {
        // Browsers hide their addresses behind mDNS names. To ask for them needs multicast, which
        // not every network has; without it, the peer's checks reveal its address.
        let runtime = KickRuntime::default();
        let inner = match self.build(setup, &notices, &runtime, MulticastDnsMode::QueryOnly).await {
            Ok(inner) => inner,
            Err(error) => {
                tracing::debug!(%error, "trying without mDNS");
                self.build(setup, &notices, &runtime, MulticastDnsMode::Disabled).await?
            }
        };
        Ok(Connection { inner, runtime, setup: OnceLock::new() })
    }

    async fn build(
        &self,
        setup: &IceSetup,
        notices: &Notices,
        runtime: &KickRuntime,
        mdns: MulticastDnsMode,
    ) -> Result<Arc<dyn PeerConnection>> {
        let relay_wait = if setup.relay_only { Duration::ZERO } else { RELAY_WAIT };
        let settings = SettingEngineBuilder::new()
            .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECKS_MAX))
            .with_srflx_acceptance_min_wait(Some(REFLEXIVE_WAIT))
            .with_prflx_acceptance_min_wait(Some(relay_wait.min(REFLEXIVE_WAIT)))
            .with_relay_acceptance_min_wait(Some(relay_wait))
            .with_multicast_dns_mode(mdns)
            // A restart is for another network: its addresses need sockets of their own.
            .with_discard_local_candidates_during_ice_restart(true)
            .build();
        let certificates = self.certificate.iter().cloned().collect();
        let inner = PeerConnectionBuilder::new()
            .with_configuration(configuration(setup).with_certificates(certificates).build())
            .with_setting_engine(settings)
            .with_runtime(Arc::new(runtime.clone()))
            .with_handler(Arc::new(Handler { notices: notices.clone() }))
            .with_udp_addrs(vec![LocalAddresses::of(setup)])
            .with_data_channel_send_buffer_limit(SEND_BUFFER_BYTES)
            .build()
            .await?;
        Ok(Arc::new(inner))
    }
}

fn generate() -> Outcome<RTCCertificate, Box<dyn std::error::Error>> {
    let provider = rtc::crypto::default_provider()?;
    let params = CertificateParams::new(vec!["heliograph".to_owned()])?;
    let scheme = SignatureScheme::EcdsaP256Sha256;
    Ok(RTCCertificate::generate(provider.crypto(), scheme, params)?)
}

/// A peer connection.
pub(crate) struct Connection {
    inner: Arc<dyn PeerConnection>,
    runtime: KickRuntime,
    /// This side's part in the DTLS handshake, once the two have agreed on it.
    setup: OnceLock<Setup>,
}

/// A part in the DTLS handshake, as `a=setup` of an answer has it (RFC 4145 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setup {
    Active,
    Passive,
}

impl Connection {
    /// Makes this end of a channel; the other side makes its own with the same number and options.
    pub(crate) async fn channel(
        &self,
        id: u16,
        label: &str,
        options: ChannelOptions,
    ) -> Outcome<DataChannel> {
        let ChannelOptions { ordered, max_retransmits, max_packet_life_time_ms } = options;
        let init = RTCDataChannelInit {
            negotiated: Some(id),
            ordered,
            max_retransmits,
            max_packet_life_time: max_packet_life_time_ms,
            ..RTCDataChannelInit::default()
        };
        let inner = self.inner.create_data_channel(label, Some(init)).await?;
        Ok(DataChannel::new(inner, Arc::clone(&self.runtime.is_open)))
    }

    /// Makes an offer and sets it, so that gathering starts; with `restart`, of new credentials.
    pub(crate) async fn offer(&self, restart: bool) -> Outcome<Description> {
        if restart {
            self.inner.restart_ice().await?;
        }
        let offer = self.inner.create_offer(None).await?;
        self.inner.set_local_description(offer.clone()).await?;
        Ok(Description { kind: Kind::Offer, sdp: offer.sdp })
    }

    /// Makes an answer and sets it, so that gathering starts.
    pub(crate) async fn answer(&self) -> Outcome<Description> {
        let answer = self.inner.create_answer(None).await?;
        self.runtime.strangers.set_chooses(false);
        self.inner.set_local_description(answer.clone()).await?;
        let chosen = Setup::of(&answer.sdp).unwrap_or(Setup::Active);
        let sdp = self.setup.get_or_init(|| chosen).put_into(&answer.sdp);
        Ok(Description { kind: Kind::Answer, sdp })
    }

    /// Takes the own offer back.
    pub(crate) async fn rollback(&self) -> Outcome<()> {
        Ok(self.inner.set_local_description(RTCSessionDescription::rollback(None)?).await?)
    }

    /// Sets the peer's description.
    pub(crate) async fn accept(&self, description: Description) -> Outcome<()> {
        let Description { kind, sdp } = description;
        if kind == Kind::Answer {
            self.runtime.strangers.set_chooses(true);
            if let Some(theirs) = Setup::of(&sdp) {
                self.setup.get_or_init(|| theirs.other());
            }
        }
        let description = match kind {
            Kind::Offer => RTCSessionDescription::offer(sdp.clone())?,
            Kind::Answer => RTCSessionDescription::answer(sdp.clone())?,
            Kind::Rollback => RTCSessionDescription::rollback(None)?,
        };
        self.inner.set_remote_description(description).await?;
        for candidate in sdp.lines().filter(|line| line.starts_with("a=candidate:")) {
            self.runtime.strangers.introduce(candidate);
        }
        Ok(())
    }

    /// Adds one of the peer's candidates.
    pub(crate) async fn add(&self, candidate: Candidate) -> Outcome<()> {
        let init = RTCIceCandidateInit {
            candidate: candidate.candidate.clone(),
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_m_line_index,
            username_fragment: candidate.username_fragment,
            url: None,
        };
        self.inner.add_ice_candidate(init).await?;
        self.runtime.strangers.introduce(&candidate.candidate);
        Ok(())
    }

    /// Takes other servers, for when candidates are gathered again.
    pub(crate) async fn set_ice(&self, setup: &IceSetup) {
        if let Err(error) = self.inner.set_configuration(configuration(setup).build()).await {
            tracing::debug!(%error, "a connection doesn't take new ICE servers");
        }
    }

    /// The largest message that the peer takes, once that is known.
    pub(crate) async fn message_bytes_max(&self) -> Option<usize> {
        let max = self.inner.sctp().await?.max_message_size().await.ok()?;
        Some(max as usize)
    }

    /// The way that the packets take, once there is one.
    pub(crate) async fn path(&self) -> Option<Path> {
        let ice = self.inner.sctp().await?.transport().ice_transport();
        let pair = ice.get_selected_candidate_pair().await.ok()??;
        let locals = ice.get_local_candidates().await.unwrap_or_default();
        let remotes = ice.get_remote_candidates().await.unwrap_or_default();
        let (local, remote) = (kind(pair.local(), &locals)?, kind(pair.remote(), &remotes)?);
        // webrtc has nothing else, to a relay neither.
        Some(Path { local, remote, protocol: Protocol::Udp })
    }

    /// What it has counted.
    pub(crate) async fn measures(&self) -> Measures {
        let report = self.inner.get_stats(TokioRuntime.now(), StatsSelector::None).await;
        measures(&report)
    }

    pub(crate) async fn close(&self) -> Outcome<()> {
        Ok(self.inner.close().await?)
    }
}

impl Setup {
    /// What a description says.
    fn of(sdp: &str) -> Option<Self> {
        match sdp.lines().find_map(|line| line.strip_prefix("a=setup:"))? {
            "active" => Some(Self::Active),
            "passive" => Some(Self::Passive),
            _ => None,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Active => Self::Passive,
            Self::Passive => Self::Active,
        }
    }

    /// Has an answer say so. Crate `webrtc` says "active" in each, whoever made the first offer;
    /// browsers refuse an answer with another part than that of the handshake (RFC 8842 §5.3).
    fn put_into(self, sdp: &str) -> String {
        let (wrong, right) = match self {
            Self::Active => ("a=setup:passive", "a=setup:active"),
            Self::Passive => ("a=setup:active", "a=setup:passive"),
        };
        sdp.replace(wrong, right)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
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
    notices: Notices,
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let Ok(init) = event.candidate.to_json() else {
            return;
        };
        // There is one m-section, the data channels': its index names it, whatever its mid is.
        self.notices.notify(Notice::Candidate(Candidate {
            candidate: init.candidate,
            sdp_mid: None,
            sdp_m_line_index: Some(0),
            username_fragment: None,
        }));
    }

    async fn on_ice_candidate_error(&self, event: RTCPeerConnectionIceErrorEvent) {
        let RTCPeerConnectionIceErrorEvent { url, error_code: code, error_text: text, .. } = event;
        self.notices.notify(Notice::CandidateError { url, code, text });
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.notices.notify(Notice::Gathered);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.notices.notify(Notice::State(match state {
            RTCPeerConnectionState::Connected => ConnectionState::Connected,
            RTCPeerConnectionState::Disconnected => ConnectionState::Silent,
            RTCPeerConnectionState::Failed => ConnectionState::Failed,
            RTCPeerConnectionState::Closed => ConnectionState::Closed,
            RTCPeerConnectionState::New | RTCPeerConnectionState::Connecting | _ => return,
        }));
    }
}

/// The candidate's type. One that a check revealed before its signal came stays "peer reflexive" in
/// the pair, though the signal told more since.
fn kind(candidate: &RTCIceCandidate, known: &[RTCIceCandidate]) -> Option<CandidateType> {
    let told = known.iter().find(|other| {
        (&other.address, other.port) == (&candidate.address, candidate.port)
            && other.typ != RTCIceCandidateType::Prflx
    });
    match told.unwrap_or(candidate).typ {
        RTCIceCandidateType::Host => Some(CandidateType::Host),
        RTCIceCandidateType::Srflx => Some(CandidateType::ServerReflexive),
        RTCIceCandidateType::Prflx => Some(CandidateType::PeerReflexive),
        RTCIceCandidateType::Relay => Some(CandidateType::Relay),
        RTCIceCandidateType::Unspecified | _ => None,
    }
}

fn measures(report: &RTCStatsReport) -> Measures {
    let mut measures = Measures::default();
    for entry in report.iter() {
        if let RTCStatsReportEntry::Transport(transport) = entry {
            measures.dtls = dtls(transport.dtls_state);
        }
        let RTCStatsReportEntry::IceCandidatePair(pair) = entry else { continue };
        measures.checks.sent += pair.requests_sent;
        measures.checks.answered += pair.responses_received;
        measures.checks.heard += pair.requests_received;
        if pair.nominated {
            let seconds = pair.current_round_trip_time;
            measures.round_trip = (seconds > 0.0).then(|| Duration::from_secs_f64(seconds));
            measures.bytes_sent = pair.bytes_sent;
            measures.bytes_received = pair.bytes_received;
        }
    }
    measures
}

fn dtls(state: RTCDtlsTransportState) -> Option<DtlsState> {
    match state {
        RTCDtlsTransportState::New => Some(DtlsState::New),
        RTCDtlsTransportState::Connecting => Some(DtlsState::Connecting),
        RTCDtlsTransportState::Connected => Some(DtlsState::Connected),
        RTCDtlsTransportState::Failed => Some(DtlsState::Failed),
        RTCDtlsTransportState::Closed | RTCDtlsTransportState::Unspecified | _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::notices;

    fn setup(username: &str) -> IceSetup {
        let turn = IceServer {
            urls: vec!["turn:127.0.0.1:9?transport=udp".to_owned()],
            username: Some(username.to_owned()),
            credential: Some("secret".to_owned()),
        };
        IceSetup { servers: vec![turn], relay_only: true, server_is_local: true }
    }

    #[tokio::test]
    async fn an_open_connection_takes_new_servers_and_keeps_its_certificate() {
        let (notices, _inputs) = notices();
        let connector = Connector::new();
        let one = connector.open(&setup("old"), notices.clone()).await.unwrap();
        let other = connector.open(&setup("old"), notices).await.unwrap();
        one.set_ice(&setup("new")).await;
        let configuration = one.inner.get_configuration().await;
        assert_eq!(configuration.ice_servers()[0].username, "new");
        let mut fingerprints = Vec::new();
        for connection in [&one, &other] {
            connection.channel(0, "reliable", ChannelOptions::RELIABLE).await.unwrap();
            let sdp = connection.offer(false).await.unwrap().sdp;
            let line = sdp.lines().find(|line| line.starts_with("a=fingerprint:"));
            fingerprints.push(line.expect("a certificate").to_owned());
            connection.close().await.unwrap();
        }
        assert_eq!(fingerprints[0], fingerprints[1]);
    }

    #[tokio::test]
    async fn who_offered_first_answers_later_with_the_same_part_in_the_handshake() {
        let (notices, _inputs) = notices();
        let connector = Connector::new();
        let one = connector.open(&setup("ada"), notices.clone()).await.unwrap();
        let other = connector.open(&setup("bob"), notices).await.unwrap();
        for connection in [&one, &other] {
            connection.channel(0, "reliable", ChannelOptions::RELIABLE).await.unwrap();
        }
        for (from, to, expected) in [(&one, &other, Setup::Active), (&other, &one, Setup::Passive)]
        {
            to.accept(from.offer(false).await.unwrap()).await.unwrap();
            let answer = to.answer().await.unwrap();
            assert_eq!(Setup::of(&answer.sdp), Some(expected));
            from.accept(answer).await.unwrap();
        }
        for connection in [one, other] {
            connection.close().await.unwrap();
        }
    }

    #[test]
    fn a_signalled_type_beats_peer_reflexive() {
        let candidate = |typ, port| RTCIceCandidate {
            address: "192.0.2.1".to_owned(),
            port,
            typ,
            ..RTCIceCandidate::default()
        };
        let seen = candidate(RTCIceCandidateType::Prflx, 9);
        let known = [
            candidate(RTCIceCandidateType::Host, 8),
            seen.clone(),
            candidate(RTCIceCandidateType::Relay, 9),
        ];
        assert_eq!(kind(&seen, &known), Some(CandidateType::Relay));
        assert_eq!(kind(&seen, &known[..2]), Some(CandidateType::PeerReflexive));
    }
}
