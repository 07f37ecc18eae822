//! What signaling is told: limits, proxies, further ICE servers, how it ends.

use crate::auth::Auth;
use crate::cli::Settings;
use crate::config::{Halves, list, quoted};
use crate::webhooks::Webhooks;
use signal_server::{AdmissionLimits, Folder, IceServer, MatchLimits, Network, SignalConfig};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The settings in force.
#[derive(Debug)]
pub(crate) struct Signaling {
    pub(crate) auth: Auth,
    page: Option<Folder>,
    webhooks: Option<Webhooks>,
    pub(crate) ice_servers: Vec<IceServer>,
    pub(crate) trusted_proxies: Vec<Network>,
    /// Whether connections of these begin with a PROXY header.
    pub(crate) proxy_protocol: bool,
    /// Whether rooms are only made by request.
    pub(crate) made_rooms: bool,
    pub(crate) admission: AdmissionLimits,
    matching: MatchLimits,
    /// Frames a second of one signaling client; none: the default.
    pub(crate) client_frames: Option<u64>,
    /// For how long the TURN credentials of a seat are good; none: the default.
    ice_ttl: Option<Duration>,
    pub(crate) drain: Duration,
    pub(crate) goaway_url: Option<String>,
}

/// A day: who wants longer doesn't want to end.
pub(crate) const DRAIN_S_MAX: u64 = 86_400;

impl Signaling {
    /// Fills in the defaults and checks.
    ///
    /// # Errors
    /// One line for the operator, which names the flag.
    pub(crate) fn of(settings: &Settings, halves: Halves) -> Result<Self, String> {
        Ok(Self {
            auth: Auth::of(settings)?,
            page: settings.page.as_deref().map(checked_page).transpose()?,
            webhooks: Webhooks::of(settings)?,
            ice_servers: settings.ice_server.iter().map(|server| server.0.clone()).collect(),
            trusted_proxies: settings.trusted_proxy.iter().map(|proxy| proxy.0).collect(),
            proxy_protocol: checked_proxy_protocol(settings, halves)?,
            made_rooms: settings.made_rooms.unwrap_or(false),
            admission: admission(settings),
            matching: checked_matching(settings)?,
            client_frames: settings.client_frames,
            ice_ttl: settings.ice_ttl_s.map(checked_ice_ttl).transpose()?,
            drain: checked_drain(settings.drain_s)?,
            goaway_url: checked_goaway(settings.goaway_url.clone())?,
        })
    }

    /// The proxies whose connections must begin with a PROXY header.
    pub(crate) fn proxies_with_header(&self) -> Vec<Network> {
        if self.proxy_protocol { self.trusted_proxies.clone() } else { Vec::new() }
    }

    /// Puts what concerns the server itself into its configuration.
    pub(crate) fn apply(&self, signal: &mut SignalConfig) {
        self.auth.apply(signal);
        signal.page.clone_from(&self.page);
        signal.hook = self.webhooks.as_ref().map(|webhooks| Box::new(webhooks.config.clone()));
        signal.ice.others.clone_from(&self.ice_servers);
        signal.ice.ttl = self.ice_ttl.unwrap_or(signal.ice.ttl);
        signal.hub.opens_rooms = !self.made_rooms;
        signal.admission = self.admission.clone();
        signal.matching = self.matching.clone();
        signal.trusted_proxies.clone_from(&self.trusted_proxies);
        if let Some(per_s) = self.client_frames {
            (signal.hub.messages_per_s, signal.hub.messages_burst) = (per_s, 4 * per_s);
            if per_s == 0 {
                signal.hub.bytes_per_s = 0;
            }
        }
    }

    /// Gives out the lines of a configuration file.
    pub(crate) fn lines(&self, line: &mut impl FnMut(&str, String)) {
        if let Some(page) = &self.page {
            line("page", quoted(page.path().to_string_lossy()));
        }
        self.auth.lines(line);
        if let Some(webhooks) = &self.webhooks {
            webhooks.lines(line);
        }
        line("ice-server", list(self.ice_servers.iter().map(masked)));
        line("trusted-proxy", list(&self.trusted_proxies));
        line("proxy-protocol", self.proxy_protocol.to_string());
        line("made-rooms", self.made_rooms.to_string());
        let limits = &self.admission;
        line("address-connections", limits.address_connections_max.to_string());
        line("address-joins", limits.address_joins_per_s.to_string());
        line("joins", limits.joins_per_s.to_string());
        line("tickets", self.matching.tickets_max.to_string());
        line("address-tickets", limits.address_tickets_max.to_string());
        line("ticket-timeout-s", self.matching.timeout_max.as_secs().to_string());
        line("subject-sessions", limits.subject_sessions_max.to_string());
        line("subject-joins", limits.subject_joins_per_s.to_string());
        if let Some(frames) = self.client_frames {
            line("client-frames", frames.to_string());
        }
        if let Some(ttl) = self.ice_ttl {
            line("ice-ttl-s", ttl.as_secs().to_string());
        }
        line("drain-s", self.drain.as_secs().to_string());
        if let Some(url) = &self.goaway_url {
            line("goaway-url", quoted(url));
        }
    }
}

/// The limits of who gets in, with bursts in proportion to the rates.
fn admission(settings: &Settings) -> AdmissionLimits {
    let mut limits = AdmissionLimits::default();
    if let Some(most) = settings.address_connections {
        limits.address_connections_max = most;
    }
    if let Some(most) = settings.address_tickets {
        limits.address_tickets_max = most;
    }
    if let Some(per_s) = settings.address_joins {
        (limits.address_joins_per_s, limits.address_joins_burst) = (per_s, 20 * per_s);
    }
    if let Some(most) = settings.subject_sessions {
        limits.subject_sessions_max = most;
    }
    if let Some(per_s) = settings.subject_joins {
        (limits.subject_joins_per_s, limits.subject_joins_burst) = (per_s, 20 * per_s);
    }
    if let Some(per_s) = settings.joins {
        (limits.joins_per_s, limits.joins_burst) = (per_s, 5 * per_s);
    }
    limits
}

/// A million: 4 GiB, if all are of the largest size.
const TICKETS_MAX: usize = 1 << 20;

/// A day: who waits longer doesn't wait.
const TICKET_TIMEOUT_S_MAX: u64 = 86_400;

/// What tickets must keep to, with outcomes in proportion.
fn checked_matching(settings: &Settings) -> Result<MatchLimits, String> {
    let mut limits = MatchLimits::default();
    match settings.tickets {
        Some(most @ 1..=TICKETS_MAX) => {
            (limits.tickets_max, limits.outcomes_max) = (most, 4 * most);
        }
        Some(most) => return Err(format!("--tickets {most} is not from 1 to {TICKETS_MAX}")),
        None => {}
    }
    match settings.ticket_timeout_s {
        Some(timeout_s @ 1..=TICKET_TIMEOUT_S_MAX) => {
            let most = Duration::from_secs(timeout_s);
            let (timeout, fill) = (limits.timeout.min(most), limits.fill.min(most));
            limits = MatchLimits { timeout_max: most, timeout, fill, ..limits };
        }
        Some(timeout_s) => {
            let range = format!("1 to {TICKET_TIMEOUT_S_MAX}");
            return Err(format!("--ticket-timeout-s {timeout_s} is not from {range}"));
        }
        None => {}
    }
    Ok(limits)
}

fn checked_proxy_protocol(settings: &Settings, halves: Halves) -> Result<bool, String> {
    let is_shared = |https: &SocketAddr| halves.relay() && settings.turn_tls.contains(https);
    match (settings.proxy_protocol.unwrap_or(false), settings.https.filter(is_shared)) {
        (false, _) => Ok(false),
        (true, _) if settings.trusted_proxy.is_empty() => {
            Err("--proxy-protocol needs --trusted-proxy CIDR beside it: from others no header is \
                 believed"
                .to_owned())
        }
        // The relay accepts there, and knows no such header.
        (true, Some(https)) => Err(format!(
            "--proxy-protocol doesn't go with --https {https} on the address of a --turn-tls: \
             give --https one of its own"
        )),
        (true, None) => Ok(true),
    }
}

fn checked_page(path: &Path) -> Result<Folder, String> {
    Folder::open(path).map_err(|error| format!("--page {}: {error}", path.display()))
}

/// New credentials come when three quarters of the time are over: clients need some of the rest.
const ICE_TTL_S_MIN: u64 = 10;

/// A week: who finds them later still finds nothing.
const ICE_TTL_S_MAX: u64 = 7 * 86_400;

fn checked_ice_ttl(ttl_s: u64) -> Result<Duration, String> {
    match ttl_s {
        ICE_TTL_S_MIN..=ICE_TTL_S_MAX => Ok(Duration::from_secs(ttl_s)),
        _ => Err(format!("--ice-ttl-s {ttl_s} is not from {ICE_TTL_S_MIN} to {ICE_TTL_S_MAX}")),
    }
}

fn checked_drain(drain_s: Option<u64>) -> Result<Duration, String> {
    match drain_s {
        Some(seconds) if seconds > DRAIN_S_MAX => {
            Err(format!("--drain-s {seconds}: needs 0 to {DRAIN_S_MAX}"))
        }
        seconds => Ok(Duration::from_secs(seconds.unwrap_or(0))),
    }
}

fn checked_goaway(url: Option<String>) -> Result<Option<String>, String> {
    match url {
        Some(url) if !is_websocket_url(&url) => {
            Err(format!("--goaway-url {url}: needs wss://HOST"))
        }
        url => Ok(url),
    }
}

/// Whether clients can be told to go there.
pub(crate) fn is_websocket_url(url: &str) -> bool {
    url.starts_with("wss://") || url.starts_with("ws://")
}

/// A server as it is written, but for the password.
fn masked(server: &IceServer) -> String {
    let url = server.urls.first().map_or("", String::as_str);
    match &server.username {
        Some(username) => format!("{url} {username} ********"),
        None => url.to_owned(),
    }
}
