//! Where the admin API listens, with which token, and what it must keep to.

use crate::cli::Settings;
use crate::config::quoted;
use heliograph_base::Secret;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What the admin API must keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most connections; the next is answered with 503.
    ///
    /// 64: a few operators and their tools.
    pub(crate) connections_max: usize,
    /// The largest body of a request, in bytes; a larger one is answered with 413.
    ///
    /// 4 KiB: all of them are a few fields.
    pub(crate) body_bytes_max: usize,
    /// How long a body may take to come; then it is answered with 408.
    ///
    /// 10 s: ample for the slowest line.
    pub(crate) body_timeout: Duration,
    /// The most rooms or allocations in one answer; asking for more is answered with 400.
    ///
    /// 1,000: a shard or worker gives so many in a few milliseconds.
    pub(crate) page_max: usize,
    /// How many there are in an answer if nothing else is asked for.
    ///
    /// 100: a screen or two.
    pub(crate) page_default: usize,
    /// The most live streams at once; the next is answered with 503.
    ///
    /// 16: each costs a reading of all counters a second.
    pub(crate) live_max: usize,
    /// How often a live stream says something.
    ///
    /// 1 s: what an eye can follow.
    pub(crate) live_interval: Duration,
    /// Wrong tokens that one address (an IPv4 address or an IPv6 /64) may send a second, after a
    /// burst of `wrong_tokens_burst`; beyond it, it is answered with 429, whatever its token.
    ///
    /// 1, after 10: an operator who mistypes is not kept waiting, and who guesses gets nowhere.
    pub(crate) wrong_tokens_per_s: u64,
    /// See `wrong_tokens_per_s`.
    pub(crate) wrong_tokens_burst: u64,
    /// How many addresses are counted at once; beyond it all others count as one.
    ///
    /// 1,024: bounds memory; the listener is not for strangers.
    pub(crate) addresses_max: usize,
    /// The longest time that a drain may take, in seconds.
    ///
    /// A day: who wants longer doesn't want to end.
    pub(crate) drain_s_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 64,
            body_bytes_max: 4 << 10,
            body_timeout: Duration::from_secs(10),
            page_max: 1000,
            page_default: 100,
            live_max: 16,
            live_interval: Duration::from_secs(1),
            wrong_tokens_per_s: 1,
            wrong_tokens_burst: 10,
            addresses_max: 1024,
            drain_s_max: crate::signaling::DRAIN_S_MAX,
        }
    }
}

/// The settings in force.
#[derive(Debug)]
pub(crate) struct AdminConfig {
    pub(crate) address: SocketAddr,
    source: TokenSource,
}

/// Where the token is.
#[derive(Debug)]
enum TokenSource {
    Given(Secret),
    File(PathBuf),
}

impl AdminConfig {
    /// Checks what can be checked without reading the file.
    ///
    /// # Errors
    /// One line for the operator, which names the flag.
    pub(crate) fn of(settings: &Settings) -> Result<Option<Self>, String> {
        let Some(address) = settings.admin else { return Ok(None) };
        let source = match (&settings.admin_token, &settings.admin_token_file) {
            (Some(token), None) => TokenSource::Given(token.0.clone()),
            (None, Some(file)) => TokenSource::File(file.clone()),
            (Some(_), Some(_)) => {
                return Err("--admin-token and --admin-token-file: give one of them".to_owned());
            }
            (None, None) => {
                return Err(format!(
                    "--admin {address} needs a token, so that not everybody who reaches it is an \
                     operator: --admin-token-file FILE, or HELIOGRAPH_ADMIN_TOKEN; \
                     `openssl rand -hex 32` makes one"
                ));
            }
        };
        Ok(Some(Self { address, source }))
    }

    /// The token, read from its file if it is in one.
    ///
    /// # Errors
    /// One line for the operator, which names the flag.
    pub(crate) fn token(&self) -> Result<Secret, String> {
        let (flag, token) = match &self.source {
            TokenSource::Given(token) => ("--admin-token".to_owned(), token.clone()),
            TokenSource::File(file) => {
                let flag = format!("--admin-token-file {}", file.display());
                let text = fs::read_to_string(file).map_err(|error| {
                    format!("--admin-token-file: cannot read {}: {error}", file.display())
                })?;
                let token =
                    Secret::from_text(text.trim()).map_err(|error| format!("{flag}: {error}"))?;
                (flag, token)
            }
        };
        let least = Secret::BYTES_ADVISED;
        let is_visible = token.bytes().iter().all(u8::is_ascii_graphic);
        if token.bytes().len() < least || !is_visible {
            return Err(format!(
                "{flag}: the token needs {least} or more ASCII characters without spaces; \
                 `openssl rand -hex 32` makes one"
            ));
        }
        Ok(token)
    }

    /// Gives out the lines of a configuration file.
    pub(crate) fn lines(&self, line: &mut impl FnMut(&str, String)) {
        line("admin", quoted(self.address));
        match &self.source {
            TokenSource::Given(_) => line("admin-token", quoted("********")),
            TokenSource::File(file) => line("admin-token-file", quoted(file.display())),
        }
    }
}
