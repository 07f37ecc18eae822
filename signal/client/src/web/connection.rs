//! One `RTCPeerConnection` of the browser, set up the way Heliograph's peers agree on.

use super::channel::DataChannel;
use super::config::{PATH_LOOKS, PATH_PAUSE};
use super::json::{from_js, to_js};
use super::listener::Listener;
use super::report::Report;
use super::{now, sleep_until};
use crate::link::{
    Candidate, ConnectionState, Description, Failed, IceSetup, Kind, Measures, Notice, Notices,
};
use crate::{ChannelOptions, Path};
use js_sys::Reflect;
use serde_json::json;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    Event, RtcConfiguration, RtcDataChannel, RtcDataChannelInit, RtcIceCandidateInit,
    RtcOfferOptions, RtcPeerConnection, RtcPeerConnectionIceEvent, RtcPeerConnectionState,
};

#[wasm_bindgen]
extern "C" {
    /// An `RTCPeerConnection`, whose `createDataChannel` may throw, which web-sys doesn't know.
    type Maker;

    #[wasm_bindgen(method, catch, js_name = createDataChannel)]
    fn create_data_channel(
        this: &Maker,
        label: &str,
        init: &RtcDataChannelInit,
    ) -> Result<RtcDataChannel, JsValue>;
}

/// Opens the connections of a room.
#[derive(Clone, Debug)]
pub(crate) struct Connector;

impl Connector {
    pub(crate) fn new() -> Self {
        Self
    }

    /// Makes a connection, which reports to `notices`.
    pub(crate) async fn open(
        &self,
        setup: &IceSetup,
        notices: Notices,
    ) -> Result<Connection, Failed> {
        let inner = RtcPeerConnection::new_with_configuration(&configuration(setup))?;
        let (found, refused, changed) = (notices.clone(), notices.clone(), notices);
        let connection = inner.clone();
        let listeners = [
            Listener::new(&inner, "icecandidate", move |event: RtcPeerConnectionIceEvent| {
                if let Some(notice) = candidate(&event) {
                    found.notify(notice);
                }
            }),
            Listener::new(&inner, "icecandidateerror", move |event: Event| {
                refused.notify(candidate_error(&event));
            }),
            Listener::new(&inner, "connectionstatechange", move |_: Event| {
                if let Some(state) = state(connection.connection_state()) {
                    changed.notify(Notice::State(state));
                }
            }),
        ];
        Ok(Connection { inner, _listeners: listeners })
    }
}

/// A peer connection. Dropped, it closes.
pub(crate) struct Connection {
    inner: RtcPeerConnection,
    _listeners: [Listener; 3],
}

impl Connection {
    /// Makes this end of a channel; the other side makes its own with the same number and options.
    pub(crate) async fn channel(
        &self,
        id: u16,
        label: &str,
        options: ChannelOptions,
    ) -> Result<DataChannel, Failed> {
        let ChannelOptions { ordered, max_retransmits, max_packet_life_time_ms } = options;
        let init = RtcDataChannelInit::new();
        init.set_negotiated(true);
        init.set_id(id);
        init.set_ordered(ordered);
        if let Some(times) = max_retransmits {
            init.set_max_retransmits(times);
        }
        if let Some(ms) = max_packet_life_time_ms {
            init.set_max_packet_life_time(ms);
        }
        let inner = self.inner.unchecked_ref::<Maker>().create_data_channel(label, &init)?;
        Ok(DataChannel::new(inner, options.is_lossy()))
    }

    /// Makes an offer and sets it, so that gathering starts; with `restart`, of new credentials.
    pub(crate) async fn offer(&self, restart: bool) -> Result<Description, Failed> {
        let options = RtcOfferOptions::new();
        options.set_ice_restart(restart);
        let offer = self.inner.create_offer_with_rtc_offer_options(&options).await?;
        self.set_local(offer).await
    }

    /// Makes an answer and sets it, so that gathering starts.
    pub(crate) async fn answer(&self) -> Result<Description, Failed> {
        let answer = self.inner.create_answer().await?;
        self.set_local(answer).await
    }

    async fn set_local(&self, description: JsValue) -> Result<Description, Failed> {
        let description: Description = from_js(&description)?;
        self.inner.set_local_description(&to_js(&description)).await?;
        Ok(description)
    }

    /// Takes the own offer back.
    pub(crate) async fn rollback(&self) -> Result<(), Failed> {
        let rollback = Description { kind: Kind::Rollback, sdp: String::new() };
        self.inner.set_local_description(&to_js(&rollback)).await?;
        Ok(())
    }

    /// Sets the peer's description.
    pub(crate) async fn accept(&self, description: Description) -> Result<(), Failed> {
        self.inner.set_remote_description(&to_js(&description)).await?;
        Ok(())
    }

    /// Adds one of the peer's candidates.
    pub(crate) async fn add(&self, candidate: Candidate) -> Result<(), Failed> {
        let init: RtcIceCandidateInit = to_js(&candidate);
        self.inner.add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(&init)).await?;
        Ok(())
    }

    /// Takes other servers, for when candidates are gathered again.
    pub(crate) async fn set_ice(&self, setup: &IceSetup) {
        let set = self.inner.set_configuration_with_configuration(&configuration(setup));
        if let Err(error) = set.map_err(Failed::from) {
            tracing::debug!(%error, "a connection doesn't take new ICE servers");
        }
    }

    /// The largest message that the peer takes, once that is known.
    pub(crate) async fn message_bytes_max(&self) -> Option<usize> {
        let sctp = Reflect::get(&self.inner, &"sctp".into()).ok()?;
        let max = Reflect::get(&sctp, &"maxMessageSize".into()).ok()?;
        // It may be infinite; a cast ends at the largest number.
        Some(max.as_f64()? as usize)
    }

    /// The way that the packets take, once there is one.
    pub(crate) async fn path(&self) -> Option<Path> {
        for _ in 0..PATH_LOOKS {
            let path = self.report().await.ok()?.path();
            if path.is_some() || self.inner.connection_state() != RtcPeerConnectionState::Connected
            {
                return path;
            }
            sleep_until(now() + PATH_PAUSE).await;
        }
        None
    }

    /// What it has counted.
    pub(crate) async fn measures(&self) -> Measures {
        self.report().await.map_or_else(|_| Measures::default(), |report| report.measures())
    }

    async fn report(&self) -> Result<Report, Failed> {
        Ok(Report::read(&self.inner.get_stats().await?))
    }

    pub(crate) async fn close(&self) -> Result<(), Failed> {
        self.inner.close();
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.inner.close();
    }
}

fn configuration(setup: &IceSetup) -> RtcConfiguration {
    let policy = if setup.relay_only { "relay" } else { "all" };
    to_js(&json!({ "iceServers": setup.servers, "iceTransportPolicy": policy }))
}

fn candidate(event: &RtcPeerConnectionIceEvent) -> Option<Notice> {
    let Some(candidate) = event.candidate() else {
        return Some(Notice::Gathered);
    };
    // An empty one only says that no more come of one kind.
    let candidate: Candidate = from_js(&candidate).ok()?;
    (!candidate.candidate.is_empty()).then_some(Notice::Candidate(candidate))
}

/// Reads an `RTCPeerConnectionIceErrorEvent`.
fn candidate_error(event: &Event) -> Notice {
    let read = |name: &str| Reflect::get(event, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let text = |name| read(name).as_string().unwrap_or_default();
    let code = read("errorCode").as_f64().unwrap_or_default() as u16;
    Notice::CandidateError { url: text("url"), code, text: text("errorText") }
}

fn state(state: RtcPeerConnectionState) -> Option<ConnectionState> {
    match state {
        RtcPeerConnectionState::Connected => Some(ConnectionState::Connected),
        RtcPeerConnectionState::Disconnected => Some(ConnectionState::Silent),
        RtcPeerConnectionState::Failed => Some(ConnectionState::Failed),
        RtcPeerConnectionState::Closed => Some(ConnectionState::Closed),
        RtcPeerConnectionState::New | RtcPeerConnectionState::Connecting | _ => None,
    }
}
