//! What the settings mean together: defaults, checks, and the effective configuration.

use crate::admin::AdminConfig;
use crate::cli::Settings;
use crate::signaling::Signaling;
use crate::traces::Traces;
use heliograph_base::Secret;
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::Profile as _;
use relay_core::{Cidr, StaticUser};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

const HTTP_PORT: u16 = 8080;
const TURN_PORT: u16 = 3478; // RFC 8656 §5
const PORT_RANGE: RangeInclusive<u16> = 49152..=65535; // RFC 8656 §5: the dynamic range
/// As many as a relay can number, with one number to spare.
const WORKERS_MAX: usize = relay_core::RelayedPorts::WORKERS_MAX;
/// Longer pauses save nothing more, and a call would notice.
const PAUSE_MAX: Duration = Duration::from_millis(10);
/// REALM has fewer than 128 characters (RFC 8489 §14.9).
const REALM_CHARS_MAX: usize = 127;

/// Which halves run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halves {
    /// Signal and relay, which share a secret.
    Both,
    /// Only the signaling server.
    Signal,
    /// Only the relay.
    Relay,
}

impl Halves {
    pub(crate) fn signal(self) -> bool {
        self != Self::Relay
    }

    pub(crate) fn relay(self) -> bool {
        self != Self::Signal
    }
}

/// The settings in force.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) halves: Halves,
    /// Where HTTP listens; a relay alone may have none.
    pub(crate) http: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) turn: Vec<SocketAddr>,
    pub(crate) turn_tcp: Vec<SocketAddr>,
    pub(crate) turn_tls: Vec<SocketAddr>,
    /// The files of the certificate and its key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) public_host: Option<String>,
    pub(crate) user_quota: Option<usize>,
    /// None: the default.
    pub(crate) unauthenticated_rate: Option<u32>,
    pub(crate) alternate_server: Vec<SocketAddr>,
    pub(crate) alternate_domain: Option<String>,
    /// None: the default.
    pub(crate) software: Option<String>,
    pub(crate) public_ip: Vec<IpAddr>,
    pub(crate) realm: String,
    pub(crate) port_range: RangeInclusive<u16>,
    pub(crate) workers: usize,
    pub(crate) pause: Duration,
    pub(crate) offload: bool,
    pub(crate) secrets: Vec<Secret>,
    /// Whether the secret was made at start, since none was configured.
    pub(crate) secret_made: bool,
    pub(crate) users: Vec<StaticUser>,
    pub(crate) allow_peer: Vec<Cidr>,
    pub(crate) deny_peer: Vec<Cidr>,
    pub(crate) signaling: Signaling,
    pub(crate) admin: Option<AdminConfig>,
    pub(crate) log: String,
    pub(crate) traces: Option<Traces>,
}

impl Config {
    /// Fills in the defaults and checks what can be checked without opening a socket.
    ///
    /// `random` becomes the TURN secret if both halves run and none is configured.
    ///
    /// # Errors
    /// One line for the operator, which names the flag.
    pub(crate) fn new(
        halves: Halves,
        settings: Settings,
        random: [u8; 32],
    ) -> Result<Self, String> {
        let signaling = Signaling::of(&settings, halves)?;
        let (admin, traces) = (AdminConfig::of(&settings)?, Traces::of(&settings)?);
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let http_default = halves.signal().then(|| SocketAddr::new(loopback, HTTP_PORT));
        let (http, https) = (settings.http.or(http_default), settings.https);
        if halves.signal() && signaling.auth.mode.is_none() {
            check_only_this_machine("--http", http)?;
            check_only_this_machine("--https", https)?;
        }
        let turn = match (halves.relay(), settings.turn) {
            (false, _) => Vec::new(),
            (true, turn) if turn.is_empty() => {
                // Where the page is, so that whoever reaches it reaches the relay.
                let mut pages = [http, settings.https].into_iter().flatten();
                let open = pages.find(|page| !page.ip().is_loopback());
                vec![SocketAddr::new(open.or(http).map_or(loopback, |page| page.ip()), TURN_PORT)]
            }
            (true, turn) => turn,
        };
        let streams = |list: Vec<SocketAddr>| if halves.relay() { list } else { Vec::new() };
        let (turn_tcp, turn_tls) = (streams(settings.turn_tcp), streams(settings.turn_tls));
        for (flag, list) in
            [("--turn", &turn), ("--turn-tcp", &turn_tcp), ("--turn-tls", &turn_tls)]
        {
            check_turn(flag, list)?;
        }
        let tls = checked_tls(settings.tls_cert, settings.tls_key, https, &turn_tls)?;
        check_public_ip(&settings.public_ip)?;
        let users = settings.user.into_iter().map(|user| prepared_user(user.0));
        let users: Vec<StaticUser> = users.collect::<Result<_, _>>()?;
        let mut secrets: Vec<Secret> =
            settings.turn_secret.into_iter().map(|text| text.0).collect();
        if halves == Halves::Relay && secrets.is_empty() && users.is_empty() {
            return Err("a relay alone needs --turn-secret SECRET or --user NAME:PASSWORD, \
                        so that not everybody can use it: `heliograph credentials` makes a secret"
                .to_owned());
        }
        let secret_made = halves == Halves::Both && secrets.is_empty();
        if secret_made {
            secrets.push(Secret::from_random(random));
        }
        Ok(Self {
            halves,
            http,
            https,
            turn,
            turn_tcp,
            turn_tls,
            tls,
            public_host: checked_host("--public-host", settings.public_host)?,
            user_quota: checked_quota(settings.user_quota)?,
            unauthenticated_rate: settings.unauthenticated_rate,
            alternate_server: checked_alternates(settings.alternate_server)?,
            alternate_domain: checked_host("--alternate-domain", settings.alternate_domain)?,
            software: checked_software(settings.software)?,
            public_ip: settings.public_ip,
            realm: checked_realm(settings.realm)?,
            port_range: settings.port_range.map_or(PORT_RANGE, |range| range.0),
            workers: checked_workers(settings.workers)?,
            pause: checked_pause(settings.pause_us)?,
            offload: settings.offload.unwrap_or(true),
            secrets,
            secret_made,
            users,
            allow_peer: settings.allow_peer.into_iter().map(|cidr| cidr.0).collect(),
            deny_peer: settings.deny_peer.into_iter().map(|cidr| cidr.0).collect(),
            signaling,
            admin,
            log: settings.log.unwrap_or_else(|| "info".to_owned()),
            traces,
        })
    }

    /// Whether nothing listens beyond this machine.
    pub(crate) fn only_this_machine(&self) -> bool {
        let turn = self.turn.iter().chain(&self.turn_tcp).chain(&self.turn_tls);
        let admin = self.admin.iter().map(|admin| &admin.address);
        let mut all = self.http.iter().chain(&self.https).chain(turn).chain(admin);
        all.all(|address| address.ip().is_loopback())
    }

    /// Whether HTTPS shares a listener with TURN over TLS.
    pub(crate) fn shares_https(&self) -> bool {
        self.https.is_some_and(|https| self.turn_tls.contains(&https))
    }

    /// The effective settings as a configuration file, with secrets masked.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: String| {
            let _ = writeln!(text, "{key} = {value}");
        };
        match self.http {
            Some(http) => line("http", quoted(http)),
            None => line("# http", "\"not listening\"".to_owned()),
        }
        if let Some(https) = self.https {
            line("https", quoted(https));
        }
        if let Some((cert, key)) = &self.tls {
            line("tls-cert", quoted(cert.display()));
            line("tls-key", quoted(key.display()));
        }
        if let Some(host) = &self.public_host {
            line("public-host", quoted(host));
        }
        if self.halves.relay() {
            line("turn", list(&self.turn));
            line("turn-tcp", list(&self.turn_tcp));
            line("turn-tls", list(&self.turn_tls));
            if let Some(quota) = self.user_quota {
                line("user-quota", quota.to_string());
            }
            if let Some(rate) = self.unauthenticated_rate {
                line("unauthenticated-rate", rate.to_string());
            }
            line("alternate-server", list(&self.alternate_server));
            if let Some(domain) = &self.alternate_domain {
                line("alternate-domain", quoted(domain));
            }
            if let Some(software) = &self.software {
                line("software", quoted(software));
            }
            line("public-ip", list(&self.public_ip));
            line("realm", quoted(&self.realm));
            let (first, last) = (self.port_range.start(), self.port_range.end());
            line("port-range", quoted(format_args!("{first}-{last}")));
            line("workers", self.workers.to_string());
            line("pause-us", self.pause.as_micros().to_string());
            line("offload", self.offload.to_string());
            line("turn-secret", list(self.secrets.iter().map(|_| "********")));
            line("user", list(self.users.iter().map(|user| format!("{}:********", user.name))));
            line("allow-peer", list(&self.allow_peer));
            line("deny-peer", list(&self.deny_peer));
        }
        if self.halves.signal() {
            self.signaling.lines(&mut line);
        }
        if let Some(admin) = &self.admin {
            admin.lines(&mut line);
        }
        line("log", quoted(&self.log));
        if let Some(traces) = &self.traces {
            traces.lines(&mut line);
        }
        text
    }
}

/// Where rooms may be that need no login, if nobody said so.
fn check_only_this_machine(flag: &str, address: Option<SocketAddr>) -> Result<(), String> {
    match address.filter(|address| !address.ip().is_loopback()) {
        Some(address) => Err(format!(
            "{flag} {address} is not only this machine: say who may use it, with --open (everybody \
             who reaches it), --auth jwt or --auth webhook"
        )),
        None => Ok(()),
    }
}

/// Both files, if anything listens on TLS.
fn checked_tls(
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    https: Option<SocketAddr>,
    turn_tls: &[SocketAddr],
) -> Result<Option<(PathBuf, PathBuf)>, String> {
    let asked = https.map(|address| ("--https", address));
    let asked = asked.or(turn_tls.first().map(|address| ("--turn-tls", *address)));
    match (cert, key, asked) {
        (Some(cert), Some(key), _) => Ok(Some((cert, key))),
        (Some(_), None, _) => Err("--tls-cert needs --tls-key FILE beside it".to_owned()),
        (None, Some(_), _) => Err("--tls-key needs --tls-cert FILE beside it".to_owned()),
        (None, None, None) => Ok(None),
        (None, None, Some((flag, address))) => Err(format!(
            "{flag} {address} needs a certificate and its key: --tls-cert FILE and --tls-key FILE"
        )),
    }
}

fn checked_host(flag: &str, host: Option<String>) -> Result<Option<String>, String> {
    match host {
        Some(host) if !relay_core::is_dns_name(&host) => {
            Err(format!("{flag} {host}: needs a DNS name, such as meet.example.org"))
        }
        host => Ok(host),
    }
}

fn checked_software(software: Option<String>) -> Result<Option<String>, String> {
    let most = relay_core::Config::SOFTWARE_BYTES_MAX;
    match software {
        Some(text) if text.len() > most || text.chars().any(char::is_control) => {
            Err(format!("--software: needs at most {most} bytes, no control characters"))
        }
        software => Ok(software),
    }
}

/// Name and password as clients must send and use them. RFC 8489 §14.3, §9.2.2.
fn prepared_user(user: StaticUser) -> Result<StaticUser, String> {
    let StaticUser { name, password } = user;
    // The text isn't repeated: it may hold a password.
    let prepare = |text: &str| prepared(text).map_err(|error| format!("--user: {error}"));
    Ok(StaticUser { name: prepare(&name)?, password: prepare(&password)? })
}

/// A text as the OpaqueString profile of RFC 8265 has it: normalised, all spaces alike. Clients
/// compute their keys of it.
///
/// # Errors
/// If it has a character that no such text may have.
pub(crate) fn prepared(text: &str) -> Result<String, String> {
    match OpaqueString::new().enforce(text) {
        Ok(prepared) => Ok(prepared.into_owned()),
        Err(_) => Err("has a character that no name or password may have (RFC 8265)".to_owned()),
    }
}

fn checked_quota(quota: Option<usize>) -> Result<Option<usize>, String> {
    match quota {
        Some(0) => Err("--user-quota 0: needs 1 or more".to_owned()),
        quota => Ok(quota),
    }
}

fn checked_alternates(servers: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, String> {
    match servers.iter().find(|server| server.port() == 0 || server.ip().is_unspecified()) {
        Some(server) => Err(format!("--alternate-server {server}: clients can't send to that")),
        None => Ok(servers),
    }
}

fn check_turn(flag: &str, turn: &[SocketAddr]) -> Result<(), String> {
    for (index, address) in turn.iter().enumerate() {
        if address.port() != 0 && turn[..index].contains(address) {
            return Err(format!("{flag} {address} is given twice"));
        }
    }
    Ok(())
}

fn check_public_ip(public_ip: &[IpAddr]) -> Result<(), String> {
    for (index, ip) in public_ip.iter().enumerate() {
        let broadcast = *ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if ip.is_unspecified() || ip.is_multicast() || broadcast || ip.is_loopback() {
            return Err(format!(
                "--public-ip {ip} is no address by which others can reach this machine"
            ));
        }
        if public_ip[..index].iter().any(|other| other.is_ipv4() == ip.is_ipv4()) {
            return Err(format!("--public-ip {ip}: only one address per IP version"));
        }
    }
    Ok(())
}

fn checked_realm(realm: Option<String>) -> Result<String, String> {
    let realm = realm.unwrap_or_else(|| "heliograph".to_owned());
    let fits = (1..=REALM_CHARS_MAX).contains(&realm.chars().count());
    if !fits || realm.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
        return Err(format!(
            "--realm: needs 1 to {REALM_CHARS_MAX} characters, no control characters, \
             quotes or backslashes"
        ));
    }
    prepared(&realm).map_err(|error| format!("--realm: {error}"))
}

fn checked_workers(workers: Option<usize>) -> Result<usize, String> {
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    match workers {
        None => Ok(cores().min(WORKERS_MAX)),
        Some(workers) if (1..=WORKERS_MAX).contains(&workers) => Ok(workers),
        Some(workers) => Err(format!("--workers {workers}: needs 1 to {WORKERS_MAX}")),
    }
}

fn checked_pause(pause_us: Option<u64>) -> Result<Duration, String> {
    let pause = pause_us.map_or(relay_server::Limits::default().pause, Duration::from_micros);
    if pause > PAUSE_MAX {
        return Err(format!("--pause-us: needs 0 to {}", PAUSE_MAX.as_micros()));
    }
    Ok(pause)
}

/// A TOML basic string.
pub(crate) fn quoted(value: impl ToString) -> String {
    toml::Value::String(value.to_string()).to_string()
}

pub(crate) fn list<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(quoted).collect();
    format!("[{}]", values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser as _;

    fn config(halves: Halves, flags: &str) -> Result<Config, String> {
        let flags = std::iter::once("heliograph").chain(flags.split_whitespace());
        let cli = Cli::try_parse_from(flags).map_err(|error| error.to_string())?;
        Config::new(halves, cli.settings, [7; 32])
    }

    #[test]
    fn the_default_is_this_machine_only_with_a_fresh_secret() {
        let config = config(Halves::Both, "").unwrap();
        assert_eq!(config.http, Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(config.turn, ["127.0.0.1:3478".parse().unwrap()]);
        assert!(config.only_this_machine() && config.secret_made);
        assert_eq!(config.secrets.len(), 1);
        assert_eq!(config.port_range, 49152..=65535);
    }

    #[test]
    fn beyond_loopback_open_rooms_must_be_asked_for() {
        let refused = config(Halves::Both, "--http 0.0.0.0:8080").unwrap_err();
        assert!(refused.contains("--open"), "{refused}");
        let open = config(Halves::Both, "--http 0.0.0.0:9000 --open").unwrap();
        assert_eq!(open.turn, ["0.0.0.0:3478".parse().unwrap()], "the relay follows --http");
        let flags = "--https 0.0.0.0:443 --tls-cert c --tls-key k --open";
        let open = config(Halves::Both, flags).unwrap();
        assert_eq!(open.turn, ["0.0.0.0:3478".parse().unwrap()], "the relay follows --https");
        assert!(config(Halves::Both, "--http 0.0.0.0:8080 --open=false").is_err());
    }

    #[test]
    fn a_relay_alone_needs_credentials_and_opens_no_http_of_its_own() {
        let refused = config(Halves::Relay, "").unwrap_err();
        assert!(refused.contains("heliograph credentials"), "{refused}");
        let relay = config(Halves::Relay, "--user alice:secret").unwrap();
        assert_eq!((relay.http, relay.secrets.len()), (None, 0));
    }

    #[test]
    fn a_signaling_server_alone_has_no_relay() {
        let signal = config(Halves::Signal, "--turn 127.0.0.1:3478").unwrap();
        assert!(signal.turn.is_empty() && signal.secrets.is_empty());
    }

    /// RFC 8265 §4.2.2: "Any instances of non-ASCII space MUST be mapped to SPACE", and NFC.
    #[test]
    fn names_passwords_and_the_realm_are_opaque_strings() {
        let flags = "--user rene\u{301}e:pa\u{308}ss --realm cafe\u{301}\u{3000}one";
        // Not split at the ideographic space.
        let flags: Vec<_> = ["heliograph"].into_iter().chain(flags.split(' ')).collect();
        let cli = Cli::try_parse_from(flags).unwrap();
        let config = Config::new(Halves::Relay, cli.settings, [7; 32]).unwrap();
        assert_eq!(config.users[0].name, "ren\u{e9}e");
        assert_eq!(config.users[0].password, "p\u{e4}ss");
        assert_eq!(config.realm, "caf\u{e9} one");
    }

    #[test]
    fn a_value_that_cannot_work_is_refused_by_name() {
        for (flags, named) in [
            ("--public-ip 0.0.0.0", "--public-ip"),
            ("--public-ip 224.0.0.1", "--public-ip"),
            ("--public-ip 127.0.0.1", "--public-ip"),
            ("--public-ip 192.0.2.1 --public-ip 192.0.2.2", "--public-ip"),
            ("--turn 127.0.0.1:3478 --turn 127.0.0.1:3478", "--turn"),
            ("--workers 0", "--workers"),
            ("--workers 256", "--workers"),
            ("--pause-us 10001", "--pause-us"),
            ("--drain-s 86401", "--drain-s"),
            ("--goaway-url http://x", "--goaway-url"),
            ("--trusted-proxy 10.0.0.0/33", "--trusted-proxy"),
            ("--proxy-protocol", "--trusted-proxy"),
            (
                "--trusted-proxy ::1 --proxy-protocol --https [::1]:1 --turn-tls [::1]:1 \
                 --tls-cert c --tls-key k",
                "--turn-tls",
            ),
            ("--ice-server turn:x:3478", "--ice-server"),
            ("--ice-server http://x", "--ice-server"),
            ("--ice-ttl-s 9", "--ice-ttl-s"),
            ("--tickets 0", "--tickets"),
            ("--ticket-timeout-s 0", "--ticket-timeout-s"),
            ("--page examples/data_channel.rs", "--page"),
            ("--page examples", "index.html"),
            ("--realm a\"b", "--realm"),
            ("--realm a\u{200b}b", "--realm"),
            ("--user a\u{0007}b:secret", "--user"),
            ("--user name:a\u{0007}b", "--user"),
            ("--alternate-domain a..b", "--alternate-domain"),
            ("--software a\u{0007}b", "--software"),
            ("--port-range 5-4", "--port-range"),
            ("--port-range 0-9", "--port-range"),
            ("--http 8080", "--http"),
            ("--user alice", "--user"),
            ("--allow-peer 10.0.0.0/33", "--allow-peer"),
        ] {
            let refused = config(Halves::Both, flags).expect_err(flags);
            assert!(refused.contains(named), "{flags}: {refused}");
        }
    }

    #[test]
    fn the_effective_configuration_reads_back_and_shows_no_secret() {
        let flags = "--turn-secret hunter2hunter2 --user alice:swordfish --allow-peer 10.0.0.0/8 \
                     --public-ip 198.51.100.7 --realm example.org \
                     --page examples/browser";
        let text = config(Halves::Both, flags).unwrap().to_toml();
        assert!(!text.contains("hunter2") && !text.contains("swordfish"), "{text}");
        let again: Settings = toml::from_str(&text).expect(&text);
        let again = Config::new(Halves::Both, again, [0; 32]).unwrap();
        assert_eq!(again.to_toml(), text);
    }
}
