//! Logs to standard error, and spans to a collector of traces.

use crate::traces::Traces;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What was started, to be held until the program ends: the last spans are sent then.
#[derive(Debug)]
pub(crate) struct Telemetry {
    #[cfg(feature = "otel")]
    _exporter: Option<crate::traces::Exporter>,
}

impl Telemetry {
    /// Starts logging and, where there is a collector, sending traces. `filter` is a level, or
    /// levels by part of the program: `info,relay_server=debug`.
    ///
    /// # Errors
    /// One line for the operator, which names the flag.
    pub(crate) fn start(filter: &str, traces: Option<&Traces>) -> Result<Self, String> {
        let is_level = |part: &str| part.rsplit('=').next().is_some_and(is_level);
        let targets = filter.parse::<Targets>().ok().filter(|_| filter.split(',').all(is_level));
        let targets = targets.ok_or_else(|| {
            format!("--log {filter}: needs error, warn, info, debug or trace, such as --log info")
        })?;
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(terminal)
            .with_filter(targets);
        let registry = tracing_subscriber::registry().with(lines);
        #[cfg(feature = "otel")]
        {
            let exporter = traces.map(crate::traces::Exporter::start).transpose()?;
            registry.with(exporter.as_ref().map(crate::traces::Exporter::layer)).init();
            Ok(Self { _exporter: exporter })
        }
        #[cfg(not(feature = "otel"))]
        {
            debug_assert!(traces.is_none(), "refused by the settings");
            registry.init();
            Ok(Self {})
        }
    }
}

fn is_level(word: &str) -> bool {
    word.parse::<LevelFilter>().is_ok()
}
