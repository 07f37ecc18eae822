//! Logs to standard error, and metrics in the Prometheus text form.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging. `filter` is a level, or levels by part of the program:
/// `info,relay_server=debug`.
///
/// # Errors
/// One line for the operator, which names the flag.
pub(crate) fn start_logging(filter: &str) -> Result<(), String> {
    let is_level = |part: &str| part.rsplit('=').next().is_some_and(is_level);
    let targets = filter.parse::<Targets>().ok().filter(|_| filter.split(',').all(is_level));
    let targets = targets.ok_or_else(|| {
        format!("--log {filter}: needs error, warn, info, debug or trace, such as --log info")
    })?;
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
    tracing_subscriber::registry().with(targets).with(lines).init();
    Ok(())
}

fn is_level(word: &str) -> bool {
    word.parse::<LevelFilter>().is_ok()
}
