//! The one binary: reads the configuration, starts both halves, and ends them in order.

mod admin;
mod auth;
mod banner;
mod cli;
mod config;
mod diagnosis;
mod drain;
mod ops;
mod run;
mod signaling;
mod telemetry;
mod texts;
mod tls;
mod traces;
mod webhooks;

use admin::AdminConfig;
use clap::Parser as _;
use clap::error::{ContextKind, ErrorKind};
use cli::{Cli, Command, CredentialsArgs, Settings};
use config::{Config, Halves};
use heliograph_base::{Clock, Credentials, Secret};
use std::error::Error as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;
use telemetry::Telemetry;
use tls::Certificate;

/// Why the program ends without having done its job.
enum Failure {
    /// A flag, a variable or a file is wrong: exit code 2.
    Operator(String),
    /// The machine or our own code failed: exit code 1.
    Machine(anyhow::Error),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            print(&error.render().to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => return complain(&one_line(&error), 2),
    };
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Operator(line)) => complain(&line, 2),
        Err(Failure::Machine(error)) => complain(&format!("{error:#}"), 1),
    }
}

fn start(cli: Cli) -> Result<(), Failure> {
    let mut settings = cli.settings;
    if let Some(path) = &cli.config {
        settings = settings.or(Settings::read(path).map_err(Failure::Operator)?);
    }
    let halves = match cli.command {
        None => Halves::Both,
        Some(Command::Signal) => Halves::Signal,
        Some(Command::Relay) => Halves::Relay,
        Some(Command::Credentials(args)) => return credentials(&args, settings),
        Some(Command::Token(args)) => {
            let token = auth::token(args).map_err(Failure::Operator)?;
            print(&format!("{token}\n"));
            return Ok(());
        }
    };
    let config = Config::new(halves, settings, random()?).map_err(Failure::Operator)?;
    if cli.check {
        print(&config.to_toml());
        return Ok(());
    }
    let telemetry = Telemetry::start(&config.log, config.traces.as_ref());
    let _telemetry = telemetry.map_err(Failure::Operator)?;
    let tls = config.tls.as_ref().map(|(cert, key)| Certificate::load(cert, key));
    let tls = tls.transpose().map_err(Failure::Operator)?;
    let token = config.admin.as_ref().map(AdminConfig::token);
    let token = token.transpose().map_err(Failure::Operator)?;
    run::run(&config, tls, token).map_err(Failure::Machine)
}

/// `heliograph credentials`: a TURN user of the given secret, or of a new one.
fn credentials(args: &CredentialsArgs, settings: Settings) -> Result<(), Failure> {
    if args.name.is_empty() || args.name.len() > 256 {
        return Err(Failure::Operator("--name: needs 1 to 256 bytes".to_owned()));
    }
    let name = config::prepared(&args.name);
    let name = name.map_err(|error| Failure::Operator(format!("--name: {error}")))?;
    let given = settings.turn_secret.into_iter().next().map(|text| text.0);
    let made = given.is_none();
    let secret = match given {
        Some(secret) => secret,
        None => Secret::from_random(random()?),
    };
    let expires = Clock::start().now().unix + Duration::from_secs(args.ttl);
    let minted = Credentials::mint(&secret, expires, &name);
    if made {
        let text = String::from_utf8_lossy(secret.bytes());
        print(&format!("turn-secret  {text}\n"));
    }
    print(&format!("username     {}\npassword     {}\n", minted.username, minted.password));
    if made {
        print("\nThey are good for a relay that is started with --turn-secret and this secret.\n");
    }
    Ok(())
}

fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::Machine(anyhow::anyhow!("the system gives no random bytes: {error}"))
    })?;
    Ok(bytes)
}

/// What is wrong with the command line, in one line. A secret's value isn't repeated.
fn one_line(error: &clap::Error) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string);
    if let (Some(argument), Some(source)) = (context(ContextKind::InvalidArg), error.source()) {
        let secret = ["--user", "--turn-secret", "--admin-token"];
        let secret = secret.iter().any(|flag| argument.starts_with(flag));
        let value = context(ContextKind::InvalidValue).filter(|_| !secret).unwrap_or_default();
        return format!("{argument} {value}: {source}");
    }
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or("the command line is not understood");
    format!("{}; see --help", first.trim_start_matches("error: ").trim_end_matches(':'))
}

fn complain(line: &str, code: u8) -> ExitCode {
    // A closed standard error leaves only the code to tell.
    let _ = writeln!(std::io::stderr(), "heliograph: {line}");
    ExitCode::from(code)
}

/// Prints for the user. A closed pipe is no error: nobody reads it.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
