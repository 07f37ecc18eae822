//! The command line, the environment and the configuration file: three ways to set the same things.
//!
//! A flag beats the environment, the environment beats the file, the file beats the default. What
//! the settings mean together is decided in `config.rs`.

use crate::auth::{AuthModeText, ExpiryText, OriginText, PeerTakenText, TokenArgs, UrlText};
use crate::texts::{
    CidrText, IceServerText, NetworkText, PortRange, SecretText, UserText, one_or_many,
};
use crate::webhooks::HookEventText;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// One program with which two peers meet anywhere: WebRTC signaling and a STUN/TURN relay.
#[derive(Debug, clap::Parser)]
#[command(version, about, max_term_width = 100, subcommand_help_heading = "Ways to run it")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) settings: Settings,

    /// Read settings from a TOML file: the keys are the names of the flags without the dashes
    #[arg(long, global = true, env = "HELIOGRAPH_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print the settings that would be in force, secrets masked, and exit
    #[arg(long, global = true)]
    pub(crate) check: bool,
}

/// What to run; without one of these, both halves.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run only the signaling server: rooms over WebSocket, and the page
    Signal,
    /// Run only the STUN/TURN relay
    Relay,
    /// Make a TURN user for a relay, good for a limited time
    Credentials(CredentialsArgs),
    /// Make a token (JWT) with which a client is let in to rooms, and print it
    Token(TokenArgs),
}

/// What `heliograph credentials` takes beside `--turn-secret`.
#[derive(Debug, clap::Args)]
pub(crate) struct CredentialsArgs {
    /// Whose credentials they are: a name that shows up in the relay's logs
    #[arg(long, default_value = "guest", value_name = "NAME")]
    pub(crate) name: String,

    /// For how long they are good, in seconds
    #[arg(long, default_value_t = 86_400, value_name = "SECONDS")]
    pub(crate) ttl: u64,
}

/// Everything that can be set, by flag, environment or file; `None` and empty mean "not set here".
#[derive(Debug, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// Where HTTP and WebSocket listen [default: 127.0.0.1:8080; with `relay` alone: nowhere]
    #[arg(long, global = true, env = "HELIOGRAPH_HTTP", value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,

    /// Where HTTPS and secure WebSocket listen; may be the address of a --turn-tls, to share it
    #[arg(long, global = true, env = "HELIOGRAPH_HTTPS", value_name = "ADDR")]
    pub(crate) https: Option<SocketAddr>,

    /// A folder with an index.html that is served in place of the page
    #[arg(long, global = true, env = "HELIOGRAPH_PAGE", value_name = "FOLDER")]
    pub(crate) page: Option<PathBuf>,

    /// Where STUN/TURN listens on UDP; may be repeated [default: port 3478 where the page is]
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_TURN",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) turn: Vec<SocketAddr>,

    /// Where STUN/TURN listens on TCP; may be repeated
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_TURN_TCP",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) turn_tcp: Vec<SocketAddr>,

    /// Where STUN/TURN listens on TLS; may be repeated
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_TURN_TLS",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) turn_tls: Vec<SocketAddr>,

    /// The certificate chain of --https and --turn-tls, PEM; read again when it changes
    #[arg(long, global = true, env = "HELIOGRAPH_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key that goes with --tls-cert, PEM
    #[arg(long, global = true, env = "HELIOGRAPH_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// The name by which others reach this machine over TLS, as in its certificate
    #[arg(long, global = true, env = "HELIOGRAPH_PUBLIC_HOST", value_name = "NAME")]
    pub(crate) public_host: Option<String>,

    /// The address by which others reach this machine, if it is behind a NAT; one per IP version
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_PUBLIC_IP",
        value_name = "IP",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) public_ip: Vec<IpAddr>,

    /// The realm of the relay's users [default: heliograph]
    #[arg(long, global = true, env = "HELIOGRAPH_REALM", value_name = "NAME")]
    pub(crate) realm: Option<String>,

    /// The ports that the relay gives to its clients [default: 49152-65535]
    #[arg(long, global = true, env = "HELIOGRAPH_PORT_RANGE", value_name = "FIRST-LAST")]
    pub(crate) port_range: Option<PortRange>,

    /// How many threads relay [default: one per core]
    #[arg(long, global = true, env = "HELIOGRAPH_WORKERS", value_name = "N")]
    pub(crate) workers: Option<usize>,

    /// How long packets may gather at a middling rate, in microseconds; 0: not at all
    /// [default: 200]
    #[arg(long, global = true, env = "HELIOGRAPH_PAUSE_US", value_name = "N")]
    pub(crate) pause_us: Option<u64>,

    /// Whether bursts are received and sent in one piece (UDP_GRO, UDP_SEGMENT) [default: true]
    #[arg(long, global = true, env = "HELIOGRAPH_OFFLOAD", value_name = "BOOL")]
    pub(crate) offload: Option<bool>,

    /// Secret of time-limited TURN credentials; may be repeated, newest first [default: made at
    /// start]
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_TURN_SECRET",
        value_name = "SECRET",
        value_delimiter = ',',
        hide_env_values = true
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) turn_secret: Vec<SecretText>,

    /// A TURN user with a fixed password; may be repeated
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_USER",
        value_name = "NAME:PASSWORD",
        value_delimiter = ',',
        hide_env_values = true
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) user: Vec<UserText>,

    /// The most allocations that one TURN user may have at once
    #[arg(long, global = true, env = "HELIOGRAPH_USER_QUOTA", value_name = "N")]
    pub(crate) user_quota: Option<usize>,

    /// The most answers a second to one IPv4 address or IPv6 /64 that hasn't shown who it is, STUN
    /// Binding included; 0: no limit [default: 200]
    #[arg(long, global = true, env = "HELIOGRAPH_UNAUTHENTICATED_RATE", value_name = "N")]
    pub(crate) unauthenticated_rate: Option<u32>,

    /// Send TURN clients to this server instead; may be repeated
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_ALTERNATE_SERVER",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) alternate_server: Vec<SocketAddr>,

    /// The name in the certificate of --alternate-server, if it isn't this machine's
    #[arg(long, global = true, env = "HELIOGRAPH_ALTERNATE_DOMAIN", value_name = "NAME")]
    pub(crate) alternate_domain: Option<String>,

    /// What the relay says that it is (SOFTWARE); an empty text: nothing [default: Heliograph]
    #[arg(long, global = true, env = "HELIOGRAPH_SOFTWARE", value_name = "TEXT")]
    pub(crate) software: Option<String>,

    /// Let the relay send to these peers though they are denied by default; may be repeated
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_ALLOW_PEER",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) allow_peer: Vec<CidrText>,

    /// Never let the relay send to these peers; may be repeated
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_DENY_PEER",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) deny_peer: Vec<CidrText>,

    /// Short for --auth open
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_OPEN",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true
    )]
    pub(crate) open: Option<bool>,

    /// Who may make and join rooms: open (everybody), jwt (who has a signed token) or webhook (whom
    /// a service lets in) [default: open, as long as only this machine can reach it]
    #[arg(long, global = true, env = "HELIOGRAPH_AUTH", value_name = "MODE")]
    pub(crate) auth: Option<AuthModeText>,

    /// A public key that signs tokens, PEM, or a JWK Set; may be repeated
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_JWT_KEY",
        value_name = "FILE",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) jwt_key: Vec<PathBuf>,

    /// A file with the secret that signs tokens (HS256), at least 32 bytes
    #[arg(long, global = true, env = "HELIOGRAPH_JWT_SECRET_FILE", value_name = "FILE")]
    pub(crate) jwt_secret_file: Option<PathBuf>,

    /// Where the keys that sign tokens are published (JWK Set)
    #[arg(long, global = true, env = "HELIOGRAPH_JWKS_URL", value_name = "URL")]
    pub(crate) jwks_url: Option<UrlText>,

    /// Who may have issued a token (iss); may be repeated [default: whoever has the key]
    #[arg(long, global = true, env = "HELIOGRAPH_JWT_ISSUER", value_name = "NAME")]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) jwt_issuer: Vec<String>,

    /// For whom a token must be (aud); may be repeated
    #[arg(long, global = true, env = "HELIOGRAPH_JWT_AUDIENCE", value_name = "NAME")]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) jwt_audience: Vec<String>,

    /// The service that is asked whom to let in
    #[arg(long, global = true, env = "HELIOGRAPH_AUTH_WEBHOOK", value_name = "URL")]
    pub(crate) auth_webhook: Option<UrlText>,

    /// A file with the secret that signs what it is asked
    #[arg(long, global = true, env = "HELIOGRAPH_AUTH_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub(crate) auth_webhook_secret_file: Option<PathBuf>,

    /// Whether a session ends with its token or may be kept: end or keep [default: end]
    #[arg(long, global = true, env = "HELIOGRAPH_AUTH_EXPIRY", value_name = "WHAT")]
    pub(crate) auth_expiry: Option<ExpiryText>,

    /// Who comes with a token for a peer id that is in the room: refuse it, or replace the one that
    /// is there [default: refuse]
    #[arg(long, global = true, env = "HELIOGRAPH_PEER_TAKEN", value_name = "WHAT")]
    pub(crate) peer_taken: Option<PeerTakenText>,

    /// Pages of this origin may use signaling, beside those of this server; *: all; may be repeated
    /// [default: all with --auth open, else none]
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_ALLOW_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) allow_origin: Vec<OriginText>,

    /// More authorities whose certificates are believed when services are asked, PEM
    #[arg(long, global = true, env = "HELIOGRAPH_OUTGOING_CA", value_name = "FILE")]
    pub(crate) outgoing_ca: Option<PathBuf>,

    /// The most sessions of one subject, or of one token without; 0: no limit [default: 100]
    #[arg(long, global = true, env = "HELIOGRAPH_SUBJECT_SESSIONS", value_name = "N")]
    pub(crate) subject_sessions: Option<usize>,

    /// Joins a second of one, after a burst of 20 seconds' worth; 0: no limit [default: 5]
    #[arg(long, global = true, env = "HELIOGRAPH_SUBJECT_JOINS", value_name = "N")]
    pub(crate) subject_joins: Option<u64>,

    /// A service that is told what happens in rooms
    #[arg(long, global = true, env = "HELIOGRAPH_WEBHOOK_URL", value_name = "URL")]
    pub(crate) webhook_url: Option<UrlText>,

    /// A file with the secret that signs what it is told
    #[arg(long, global = true, env = "HELIOGRAPH_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub(crate) webhook_secret_file: Option<PathBuf>,

    /// Of what it is told: room_opened, joined, left, room_closed; may be repeated [default: all]
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_WEBHOOK_EVENTS",
        value_name = "EVENT",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) webhook_events: Vec<HookEventText>,

    /// Whether it is told the metadata of who joins [default: false]
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_WEBHOOK_METADATA",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true
    )]
    pub(crate) webhook_metadata: Option<bool>,

    /// One more STUN or TURN server that clients are told of: a URL, and for TURN a username and a
    /// password behind it, with spaces between; may be repeated
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_ICE_SERVER",
        value_name = "TEXT",
        hide_env_values = true
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) ice_server: Vec<IceServerText>,

    /// A proxy that is believed when it says whom a request comes from; may be repeated
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_TRUSTED_PROXY",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) trusted_proxy: Vec<NetworkText>,

    /// Connections from a --trusted-proxy to --http and --https must begin with a PROXY header,
    /// version 1 or 2, which says whom they come from
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_PROXY_PROTOCOL",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true
    )]
    pub(crate) proxy_protocol: Option<bool>,

    /// Let nobody into a room that wasn't made by POST /v1/rooms before
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_MADE_ROOMS",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true
    )]
    pub(crate) made_rooms: Option<bool>,

    /// The most signaling connections of one IPv4 address or IPv6 /64; 0: no limit [default: 1000]
    #[arg(long, global = true, env = "HELIOGRAPH_ADDRESS_CONNECTIONS", value_name = "N")]
    pub(crate) address_connections: Option<usize>,

    /// Joins a second of one IPv4 address or IPv6 /64, after a burst of 20 seconds' worth; 0: no
    /// limit [default: 10]
    #[arg(long, global = true, env = "HELIOGRAPH_ADDRESS_JOINS", value_name = "N")]
    pub(crate) address_joins: Option<u64>,

    /// Joins a second of all, after a burst of 5 seconds' worth; 0: no limit [default: 2000]
    #[arg(long, global = true, env = "HELIOGRAPH_JOINS", value_name = "N")]
    pub(crate) joins: Option<u64>,

    /// The most matchmaking tickets that wait [default: 16384]
    #[arg(long, global = true, env = "HELIOGRAPH_TICKETS", value_name = "N")]
    pub(crate) tickets: Option<usize>,

    /// The most of one IPv4 address or IPv6 /64; 0: no limit [default: 256]
    #[arg(long, global = true, env = "HELIOGRAPH_ADDRESS_TICKETS", value_name = "N")]
    pub(crate) address_tickets: Option<usize>,

    /// For how many seconds a ticket may ask to wait [default: 600]
    #[arg(long, global = true, env = "HELIOGRAPH_TICKET_TIMEOUT_S", value_name = "N")]
    pub(crate) ticket_timeout_s: Option<u64>,

    /// Frames a second of one signaling client, after a burst of 4 seconds' worth; beyond it one
    /// is read from more slowly; 0: no limit, of bytes neither [default: 100]
    #[arg(long, global = true, env = "HELIOGRAPH_CLIENT_FRAMES", value_name = "N")]
    pub(crate) client_frames: Option<u64>,

    /// For how many seconds the TURN credentials of a seat are good; new ones come before
    /// [default: 43200]
    #[arg(long, global = true, env = "HELIOGRAPH_ICE_TTL_S", value_name = "N")]
    pub(crate) ice_ttl_s: Option<u64>,

    /// For how many seconds SIGTERM lets signaling go on, after it told all clients to go elsewhere
    /// [default: 0]
    #[arg(long, global = true, env = "HELIOGRAPH_DRAIN_S", value_name = "N")]
    pub(crate) drain_s: Option<u64>,

    /// Where they are told to go, such as wss://other.example.org
    #[arg(long, global = true, env = "HELIOGRAPH_GOAWAY_URL", value_name = "URL")]
    pub(crate) goaway_url: Option<String>,

    /// Where the admin API and its page listen; needs a token
    #[arg(long, global = true, env = "HELIOGRAPH_ADMIN", value_name = "ADDR")]
    pub(crate) admin: Option<SocketAddr>,

    /// The file that holds the token of the admin API
    #[arg(long, global = true, env = "HELIOGRAPH_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,

    /// The token itself
    #[arg(
        long,
        global = true,
        env = "HELIOGRAPH_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub(crate) admin_token: Option<SecretText>,

    /// What to log: error, warn, info, debug or trace, also by part: info,relay_server=debug
    #[arg(long, global = true, env = "HELIOGRAPH_LOG", value_name = "LEVEL")]
    pub(crate) log: Option<String>,

    /// Where traces go by OTLP over HTTP, in builds with the feature otel:
    /// http://127.0.0.1:4318/v1/traces
    #[arg(long, global = true, env = "HELIOGRAPH_OTLP_URL", value_name = "URL")]
    pub(crate) otlp_url: Option<UrlText>,

    /// The share of traces that is sent, 0 to 1 [default: 1]
    #[arg(long, global = true, env = "HELIOGRAPH_OTLP_SHARE", value_name = "SHARE")]
    pub(crate) otlp_share: Option<f64>,
}

impl Settings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// One line that names the file, the line and the key.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("--config: cannot read {shown}: {error}"))?;
        toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text[..at].matches('\n').count() + 1;
            // Only the key of the line: its value may be a secret.
            let key = text.lines().nth(line - 1).and_then(|line| line.split('=').next());
            let key = key.unwrap_or_default().trim();
            let message = error.message().lines().next().unwrap_or("not valid TOML").to_owned();
            format!("{shown}:{line}: {key}: {message}")
        })
    }

    /// These settings, and where nothing is set, those of `other`.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        fn or<T>(list: Vec<T>, other: Vec<T>) -> Vec<T> {
            if list.is_empty() { other } else { list }
        }
        Self {
            http: self.http.or(other.http),
            https: self.https.or(other.https),
            page: self.page.or(other.page),
            turn: or(self.turn, other.turn),
            turn_tcp: or(self.turn_tcp, other.turn_tcp),
            turn_tls: or(self.turn_tls, other.turn_tls),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            public_host: self.public_host.or(other.public_host),
            user_quota: self.user_quota.or(other.user_quota),
            unauthenticated_rate: self.unauthenticated_rate.or(other.unauthenticated_rate),
            alternate_server: or(self.alternate_server, other.alternate_server),
            alternate_domain: self.alternate_domain.or(other.alternate_domain),
            software: self.software.or(other.software),
            public_ip: or(self.public_ip, other.public_ip),
            realm: self.realm.or(other.realm),
            port_range: self.port_range.or(other.port_range),
            workers: self.workers.or(other.workers),
            pause_us: self.pause_us.or(other.pause_us),
            offload: self.offload.or(other.offload),
            turn_secret: or(self.turn_secret, other.turn_secret),
            user: or(self.user, other.user),
            allow_peer: or(self.allow_peer, other.allow_peer),
            deny_peer: or(self.deny_peer, other.deny_peer),
            open: self.open.or(other.open),
            auth: self.auth.or(other.auth),
            jwt_key: or(self.jwt_key, other.jwt_key),
            jwt_secret_file: self.jwt_secret_file.or(other.jwt_secret_file),
            jwks_url: self.jwks_url.or(other.jwks_url),
            jwt_issuer: or(self.jwt_issuer, other.jwt_issuer),
            jwt_audience: or(self.jwt_audience, other.jwt_audience),
            auth_webhook: self.auth_webhook.or(other.auth_webhook),
            auth_webhook_secret_file: self
                .auth_webhook_secret_file
                .or(other.auth_webhook_secret_file),
            auth_expiry: self.auth_expiry.or(other.auth_expiry),
            peer_taken: self.peer_taken.or(other.peer_taken),
            allow_origin: or(self.allow_origin, other.allow_origin),
            outgoing_ca: self.outgoing_ca.or(other.outgoing_ca),
            subject_sessions: self.subject_sessions.or(other.subject_sessions),
            subject_joins: self.subject_joins.or(other.subject_joins),
            webhook_url: self.webhook_url.or(other.webhook_url),
            webhook_secret_file: self.webhook_secret_file.or(other.webhook_secret_file),
            webhook_events: or(self.webhook_events, other.webhook_events),
            webhook_metadata: self.webhook_metadata.or(other.webhook_metadata),
            ice_server: or(self.ice_server, other.ice_server),
            trusted_proxy: or(self.trusted_proxy, other.trusted_proxy),
            proxy_protocol: self.proxy_protocol.or(other.proxy_protocol),
            made_rooms: self.made_rooms.or(other.made_rooms),
            address_connections: self.address_connections.or(other.address_connections),
            address_joins: self.address_joins.or(other.address_joins),
            joins: self.joins.or(other.joins),
            tickets: self.tickets.or(other.tickets),
            address_tickets: self.address_tickets.or(other.address_tickets),
            ticket_timeout_s: self.ticket_timeout_s.or(other.ticket_timeout_s),
            client_frames: self.client_frames.or(other.client_frames),
            ice_ttl_s: self.ice_ttl_s.or(other.ice_ttl_s),
            drain_s: self.drain_s.or(other.drain_s),
            goaway_url: self.goaway_url.or(other.goaway_url),
            admin: self.admin.or(other.admin),
            admin_token_file: self.admin_token_file.or(other.admin_token_file),
            admin_token: self.admin_token.or(other.admin_token),
            log: self.log.or(other.log),
            otlp_url: self.otlp_url.or(other.otlp_url),
            otlp_share: self.otlp_share.or(other.otlp_share),
        }
    }
}
