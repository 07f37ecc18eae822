//! Who is let in to signaling, as the settings say: modes, keys, services, pages; and
//! `heliograph token`.

use crate::cli::Settings;
use crate::config::{list, quoted};
use crate::texts::Text;
use heliograph_base::{Clock, Secret};
use signal_server::{
    AtExpiry, AuthConfig, HttpClient, KeySource, KeyUrl, Keys, Mint, MintKey, Origins, OutgoingUrl,
    PeerTaken, SignalConfig, TokenConfig, WebOrigin, WebhookConfig,
};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthMode {
    /// Everybody.
    Open,
    /// Who has a signed token.
    Jwt,
    /// Whom a service lets in.
    Webhook,
}

pub(crate) type AuthModeText = Text<AuthMode>;
pub(crate) type ExpiryText = Text<AtExpiry>;
pub(crate) type OriginText = Text<Option<WebOrigin>>;
pub(crate) type PeerTakenText = Text<PeerTaken>;
pub(crate) type UrlText = Text<OutgoingUrl>;

/// What `heliograph token` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// The key that signs: a private one in PEM form (RSA, P-256, Ed25519), or a file with a secret
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,

    /// A room that it is for, or a pattern such as game-*; may be repeated [default: any]
    #[arg(long, value_name = "ROOM")]
    room: Vec<String>,

    /// The peer id that it gives
    #[arg(long, value_name = "ID")]
    peer: Option<String>,

    /// The role that it gives, such as host
    #[arg(long, value_name = "NAME")]
    role: Option<String>,

    /// Who holds it (sub)
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,

    /// Who issues it (iss)
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,

    /// For whom it is (aud)
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,

    /// The name of its key (kid)
    #[arg(long, value_name = "NAME")]
    key_id: Option<String>,

    /// For how long it is good, in seconds
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    ttl_s: u64,
}

/// Makes a token.
///
/// # Errors
/// One line for the operator, which names the flag.
pub(crate) fn token(args: TokenArgs) -> Result<String, String> {
    let key = MintKey::read(&args.key_file).map_err(|bad| format!("--key-file: {bad}"))?;
    let mint = Mint {
        rooms: args.room,
        peer: args.peer,
        role: args.role,
        subject: args.subject,
        issuer: args.issuer,
        audience: args.audience,
        key_id: args.key_id,
        ttl: Duration::from_secs(args.ttl_s),
    };
    key.mint(Clock::start().now().unix, &mint).map_err(|bad| bad.to_string())
}

/// The settings in force.
#[derive(Debug)]
pub(crate) struct Auth {
    /// None: everybody, as long as that is only this machine.
    pub(crate) mode: Option<AuthMode>,
    config: AuthConfig,
    origins: Origins,
    at_expiry: AtExpiry,
    peer_taken: PeerTaken,
    /// The keys and values of a configuration file that say the same.
    lines: Vec<(&'static str, String)>,
}

impl Auth {
    /// Checks the settings and reads the files that they name.
    ///
    /// # Errors
    /// One line for the operator, which names the flag.
    pub(crate) fn of(settings: &Settings) -> Result<Self, String> {
        let mode = mode(settings)?;
        check_mode(settings, mode)?;
        let config = match mode {
            None | Some(AuthMode::Open) => AuthConfig::Open,
            Some(AuthMode::Jwt) => AuthConfig::Tokens(tokens(settings)?),
            Some(AuthMode::Webhook) => AuthConfig::Webhook(Box::new(webhook(settings)?)),
        };
        let expiry = settings.auth_expiry.as_ref();
        let taken = settings.peer_taken.as_ref();
        Ok(Self {
            mode,
            config,
            origins: origins(settings, mode),
            at_expiry: expiry.map_or(AtExpiry::End, |text| text.0),
            peer_taken: taken.map_or(PeerTaken::Refuse, |text| text.0),
            lines: lines(settings, mode),
        })
    }

    /// Puts what concerns the server into its configuration.
    pub(crate) fn apply(&self, signal: &mut SignalConfig) {
        signal.auth = self.config.clone();
        signal.origins = self.origins.clone();
        signal.hub.at_expiry = self.at_expiry;
        signal.hub.peer_taken = self.peer_taken;
    }

    /// Gives out the lines of a configuration file.
    pub(crate) fn lines(&self, line: &mut impl FnMut(&str, String)) {
        for (key, value) in &self.lines {
            line(key, value.clone());
        }
    }
}

/// `--open` is the short form of `--auth open`.
fn mode(settings: &Settings) -> Result<Option<AuthMode>, String> {
    match (settings.auth.as_ref().map(|text| text.0), settings.open) {
        (Some(AuthMode::Jwt | AuthMode::Webhook), Some(true)) => {
            Err("--open: lets everybody in, and --auth says otherwise: leave one out".to_owned())
        }
        (None, Some(true)) => Ok(Some(AuthMode::Open)),
        (mode, Some(_) | None) => Ok(mode),
    }
}

/// Refuses what has no effect in this mode: somebody counts on it.
fn check_mode(settings: &Settings, mode: Option<AuthMode>) -> Result<(), String> {
    let of_jwt = [
        ("--jwt-key", !settings.jwt_key.is_empty()),
        ("--jwt-secret-file", settings.jwt_secret_file.is_some()),
        ("--jwks-url", settings.jwks_url.is_some()),
        ("--jwt-issuer", !settings.jwt_issuer.is_empty()),
        ("--jwt-audience", !settings.jwt_audience.is_empty()),
    ];
    let of_webhook = [
        ("--auth-webhook", settings.auth_webhook.is_some()),
        ("--auth-webhook-secret-file", settings.auth_webhook_secret_file.is_some()),
    ];
    let stray = |flags: &[(&'static str, bool)]| flags.iter().find(|flag| flag.1).map(|it| it.0);
    if let (Some(flag), true) = (stray(&of_jwt), mode != Some(AuthMode::Jwt)) {
        return Err(format!("{flag} has no effect without --auth jwt"));
    }
    match (stray(&of_webhook), mode != Some(AuthMode::Webhook)) {
        (Some(flag), true) => Err(format!("{flag} has no effect without --auth webhook")),
        (Some(_) | None, _) => Ok(()),
    }
}

fn tokens(settings: &Settings) -> Result<TokenConfig, String> {
    let mut keys: Option<Keys> = None;
    let mut add = |more: Keys| keys = Some(keys.take().unwrap_or_default().and(more));
    for path in &settings.jwt_key {
        add(Keys::read(path).map_err(|bad| format!("--jwt-key: {bad}"))?);
    }
    if let Some(path) = &settings.jwt_secret_file {
        add(Keys::read_secret(path).map_err(|bad| format!("--jwt-secret-file: {bad}"))?);
    }
    let source = match (keys, &settings.jwks_url) {
        (Some(keys), None) => KeySource::Fixed(Arc::new(keys)),
        (None, Some(url)) => {
            KeySource::Url(Box::new(KeyUrl::new(url.0.clone(), client(settings)?)))
        }
        (Some(_), Some(_)) => {
            return Err("--jwks-url: keys come from there or from files, not both".to_owned());
        }
        (None, None) => {
            return Err("--auth jwt needs keys: --jwt-key FILE (a public key or a JWK Set), \
                        --jwt-secret-file FILE or --jwks-url URL"
                .to_owned());
        }
    };
    let mut config = TokenConfig::new(source);
    config.issuers.clone_from(&settings.jwt_issuer);
    config.audiences.clone_from(&settings.jwt_audience);
    Ok(config)
}

fn webhook(settings: &Settings) -> Result<WebhookConfig, String> {
    let Some(url) = &settings.auth_webhook else {
        return Err("--auth webhook needs --auth-webhook URL".to_owned());
    };
    let mut config = WebhookConfig::new(url.0.clone(), client(settings)?);
    let secret = settings.auth_webhook_secret_file.as_deref();
    let secret = secret.map(|path| secret_of("--auth-webhook-secret-file", path));
    config.secret = secret.transpose()?;
    Ok(config)
}

/// The secret in a file that a flag names.
pub(crate) fn secret_of(flag: &str, path: &Path) -> Result<Secret, String> {
    let wrong = |why: String| format!("{flag}: {}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    Secret::from_text(text).map_err(|error| wrong(error.to_string()))
}

/// What asks and tells services.
pub(crate) fn client(settings: &Settings) -> Result<HttpClient, String> {
    let more = settings.outgoing_ca.as_deref();
    HttpClient::new(more).map_err(|error| format!("--outgoing-ca: {error}"))
}

/// Without a list, pages of all origins where everybody is let in, else those of this server.
fn origins(settings: &Settings, mode: Option<AuthMode>) -> Origins {
    let listed: Option<Vec<WebOrigin>> =
        settings.allow_origin.iter().map(|text| text.0.clone()).collect();
    let is_open = matches!(mode, None | Some(AuthMode::Open));
    match listed {
        None => Origins::Any,
        Some(listed) if listed.is_empty() && is_open => Origins::Any,
        Some(listed) => Origins::Only(listed),
    }
}

fn lines(settings: &Settings, mode: Option<AuthMode>) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut line = |key, value: Option<String>| lines.extend(value.map(|value| (key, value)));
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| quoted(path.display()));
    let url = |url: &Option<UrlText>| url.as_ref().map(|url| quoted(&url.0));
    let texts = |texts: &[String]| (!texts.is_empty()).then(|| list(texts));
    line("auth", mode.map(|mode| quoted(mode.name())));
    let keys = settings.jwt_key.iter().map(|path| path.display());
    line("jwt-key", (!settings.jwt_key.is_empty()).then(|| list(keys)));
    line("jwt-secret-file", path(&settings.jwt_secret_file));
    line("jwks-url", url(&settings.jwks_url));
    line("jwt-issuer", texts(&settings.jwt_issuer));
    line("jwt-audience", texts(&settings.jwt_audience));
    line("auth-webhook", url(&settings.auth_webhook));
    line("auth-webhook-secret-file", path(&settings.auth_webhook_secret_file));
    let expiry = settings.auth_expiry.as_ref().map(|text| match text.0 {
        AtExpiry::End => "end",
        AtExpiry::Keep => "keep",
    });
    line("auth-expiry", expiry.map(quoted));
    let taken = settings.peer_taken.as_ref().map(|text| match text.0 {
        PeerTaken::Refuse => "refuse",
        PeerTaken::Replace => "replace",
    });
    line("peer-taken", taken.map(quoted));
    let origin = |text: &OriginText| text.0.as_ref().map_or("*".to_owned(), ToString::to_string);
    let origins = list(settings.allow_origin.iter().map(origin));
    line("allow-origin", (!settings.allow_origin.is_empty()).then_some(origins));
    line("outgoing-ca", path(&settings.outgoing_ca));
    lines
}

impl AuthMode {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Jwt => "jwt",
            Self::Webhook => "webhook",
        }
    }
}

impl FromStr for AuthModeText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [AuthMode::Open, AuthMode::Jwt, AuthMode::Webhook];
        let found = all.into_iter().find(|mode| mode.name() == text);
        found.map(Self).ok_or_else(|| "needs open, jwt or webhook".to_owned())
    }
}

impl FromStr for ExpiryText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "end" => Ok(Self(AtExpiry::End)),
            "keep" => Ok(Self(AtExpiry::Keep)),
            _ => Err("needs end or keep".to_owned()),
        }
    }
}

impl FromStr for PeerTakenText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "refuse" => Ok(Self(PeerTaken::Refuse)),
            "replace" => Ok(Self(PeerTaken::Replace)),
            _ => Err("needs refuse or replace".to_owned()),
        }
    }
}

impl FromStr for OriginText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "*" => Ok(Self(None)),
            text => text.parse().map(|origin| Self(Some(origin))).map_err(|bad| format!("{bad}")),
        }
    }
}

impl FromStr for UrlText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|bad: signal_server::BadUrl| bad.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser as _;

    fn auth(flags: &str) -> Auth {
        let flags = std::iter::once("heliograph").chain(flags.split_whitespace());
        Auth::of(&Cli::try_parse_from(flags).unwrap().settings).unwrap()
    }

    #[test]
    fn open_is_the_short_form_of_a_mode() {
        assert_eq!(auth("").mode, None);
        assert_eq!(auth("--open").mode, Some(AuthMode::Open));
        assert_eq!(auth("--open=false").mode, None);
        assert_eq!(auth("--open --auth open").mode, Some(AuthMode::Open));
    }

    #[test]
    fn pages_of_all_origins_come_where_everybody_may_and_else_those_of_the_list() {
        let webhook = "--auth webhook --auth-webhook http://127.0.0.1:9/";
        let only = |list: &[&str]| {
            Origins::Only(list.iter().map(|origin| origin.parse().unwrap()).collect())
        };
        for (flags, origins) in [
            ("".to_owned(), Origins::Any),
            ("--open".to_owned(), Origins::Any),
            ("--allow-origin https://a".to_owned(), only(&["https://a"])),
            (webhook.to_owned(), only(&[])),
            (
                format!("{webhook} --allow-origin https://a,https://b"),
                only(&["https://a", "https://b"]),
            ),
            (format!("{webhook} --allow-origin https://a --allow-origin *"), Origins::Any),
        ] {
            assert_eq!(auth(&flags).origins, origins, "{flags}");
        }
    }
}
