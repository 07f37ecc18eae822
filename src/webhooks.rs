//! Which service is told what happens in rooms, as the settings say.

use crate::auth;
use crate::cli::Settings;
use crate::config::{list, quoted};
use crate::texts::Text;
use signal_server::{BadEvent, HookConfig, HookEvent};
use std::path::PathBuf;
use std::str::FromStr;

pub(crate) type HookEventText = Text<HookEvent>;

/// The settings in force.
#[derive(Debug)]
pub(crate) struct Webhooks {
    pub(crate) config: HookConfig,
    secret_file: Option<PathBuf>,
}

impl Webhooks {
    /// Checks the settings and reads the file that they name; nothing without a service.
    ///
    /// # Errors
    /// One line for the operator, which names the flag.
    pub(crate) fn of(settings: &Settings) -> Result<Option<Self>, String> {
        let Some(url) = &settings.webhook_url else {
            return stray(settings).map_or(Ok(None), |flag| {
                Err(format!("{flag} has no effect without --webhook-url"))
            });
        };
        let mut config = HookConfig::new(url.0.clone(), auth::client(settings)?);
        let secret_file = settings.webhook_secret_file.clone();
        let secret = secret_file.as_deref();
        let secret = secret.map(|path| auth::secret_of("--webhook-secret-file", path));
        config.secret = secret.transpose()?;
        if !settings.webhook_events.is_empty() {
            config.events = settings.webhook_events.iter().map(|event| event.0).collect();
        }
        config.metadata = settings.webhook_metadata.unwrap_or(false);
        Ok(Some(Self { config, secret_file }))
    }

    /// Gives out the lines of a configuration file.
    pub(crate) fn lines(&self, line: &mut impl FnMut(&str, String)) {
        line("webhook-url", quoted(&self.config.url));
        if let Some(path) = &self.secret_file {
            line("webhook-secret-file", quoted(path.display()));
        }
        line("webhook-events", list(self.config.events.iter().map(|event| event.name())));
        line("webhook-metadata", self.config.metadata.to_string());
    }
}

/// What has no effect without a service: somebody counts on it.
fn stray(settings: &Settings) -> Option<&'static str> {
    let flags = [
        ("--webhook-secret-file", settings.webhook_secret_file.is_some()),
        ("--webhook-events", !settings.webhook_events.is_empty()),
        ("--webhook-metadata", settings.webhook_metadata == Some(true)),
    ];
    flags.into_iter().find(|(_, is_set)| *is_set).map(|(flag, _)| flag)
}

impl FromStr for HookEventText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|bad: BadEvent| bad.to_string())
    }
}
