//! Network namespaces: made, entered, and removed whatever happens.
//!
//! Their names begin with the process that made them, so that a later one can tell which of them
//! nobody owns any more: `lab-PID-START-WORLD-ROLE`.

use crate::sys;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, PoisonError, RwLock};
use std::thread;
use tokio::signal::unix::{SignalKind, signal};

/// Where `ip netns` keeps their names.
const FOLDER: &str = "/run/netns";

/// Held to make a namespace, and taken for good by the end of the process.
static MAKING: RwLock<()> = RwLock::new(());

/// A named network namespace. It lasts until its world removes it.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub(crate) fn add(name: String) -> Result<Self> {
        let _making = MAKING.read().unwrap_or_else(PoisonError::into_inner);
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let space = Self { name };
        space.ip(&["link set lo up"])?;
        // Else an interface gets its link-local address a second or two late, for a browser a
        // change of networks, by which it breaks off what it loads.
        let settings = ["all", "default"].map(|which| format!("ipv6/conf/{which}/accept_dad"));
        space.set(&settings.each_ref().map(|setting| (setting.as_str(), "0")))?;
        Ok(space)
    }

    /// Its name, for `ip netns exec NAME`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A program that runs in it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program.as_ref());
        command
    }

    /// Runs `work` on a thread in it: sockets that are made there stay there.
    ///
    /// # Errors
    /// If it can't be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = File::open(Path::new(FOLDER).join(&self.name))?;
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                sys::enter(&file)?;
                Ok(work())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Gives lines to `ip -batch`.
    pub(crate) fn ip(&self, lines: &[&str]) -> Result<()> {
        feed(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), &lines.join("\n"))
    }

    /// Gives rules to nftables.
    pub(crate) fn nft(&self, rules: &str) -> Result<()> {
        feed(self.command("nft").args(["-f", "-"]), rules)
    }

    /// Sets what is below `/proc/sys/net`.
    pub(crate) fn set(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            settings.iter().try_for_each(|(key, value)| {
                fs::write(Path::new("/proc/sys/net").join(key), value)
                    .with_context(|| format!("can't set {key}"))
            })
        })?
    }
}

/// What the names of one world's namespaces begin with.
pub(crate) fn prefix() -> Result<String> {
    static LAST: AtomicU32 = AtomicU32::new(0);
    static FIRST: Once = Once::new();
    let own = Owner::of(std::process::id()).context("/proc doesn't know this process")?;
    let mut watched = Ok(());
    FIRST.call_once(|| watched = remove_orphans().and_then(|()| watch_signals(own)));
    watched?;
    Ok(format!("{}{}-", own.prefix(), LAST.fetch_add(1, Ordering::Relaxed)))
}

/// Ends all programs in the namespaces whose names begin so, and removes them.
pub(crate) fn remove(prefix: &str) -> Result<()> {
    names()?.iter().filter(|name| name.starts_with(prefix)).try_for_each(|name| remove_one(name))
}

/// Removes what is left of processes that were killed.
fn remove_orphans() -> Result<()> {
    let is_orphan = |name: &&String| {
        Owner::parse(name).is_some_and(|owner| Owner::of(owner.process) != Some(owner))
    };
    names()?.iter().filter(is_orphan).try_for_each(|name| remove_one(name))
}

fn remove_one(name: &str) -> Result<()> {
    let inside = Command::new("ip").args(["netns", "pids", name]).output()?;
    let inside = String::from_utf8_lossy(&inside.stdout);
    if !inside.trim().is_empty() {
        // Some may have ended meanwhile.
        let mut kill = Command::new("kill");
        let _ = kill.arg("-9").args(inside.split_whitespace()).stderr(Stdio::null()).status();
    }
    let removed = run(Command::new("ip").args(["netns", "del", name]));
    let is_gone = !Path::new(FOLDER).join(name).exists();
    if is_gone { Ok(()) } else { removed }
}

fn names() -> Result<Vec<String>> {
    if !Path::new(FOLDER).exists() {
        return Ok(Vec::new());
    }
    let names = fs::read_dir(FOLDER)?.map(|entry| Ok(entry?.file_name().into_string()));
    Ok(names.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// On a signal that ends the process, everything is removed first.
fn watch_signals(own: Owner) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wait = async move {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok::<_, std::io::Error>(tokio::select! {
            _ = hangup.recv() => SignalKind::hangup(),
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        })
    };
    thread::spawn(move || {
        let Ok(end) = runtime.block_on(wait) else { return };
        let _no_more = MAKING.write().unwrap_or_else(PoisonError::into_inner);
        let removed = remove(&own.prefix());
        if let Err(error) = removed {
            let _ = writeln!(std::io::stderr(), "the lab is left behind: {error:#}");
        }
        std::process::exit(128 + end.as_raw_value());
    });
    Ok(())
}

/// A process, told from others that had its number before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    process: u32,
    /// When it was started, in clock ticks since the machine was.
    start: u64,
}

impl Owner {
    /// The process with this number, if there is one.
    fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The second field is a name in brackets, with whatever in it; the start is the 22nd.
        let (_, fields) = stat.rsplit_once(") ")?;
        Some(Self { process, start: fields.split(' ').nth(19)?.parse().ok()? })
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("lab-")?.split('-');
        let process = parts.next()?.parse().ok()?;
        Some(Self { process, start: u64::from_str_radix(parts.next()?, 16).ok()? })
    }

    fn prefix(self) -> String {
        format!("lab-{}-{:x}-", self.process, self.start)
    }
}

fn feed(command: &mut Command, text: &str) -> Result<()> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("can't run {command:?}"))?;
    // A program that doesn't read to the end says why.
    let _ = child.stdin.take().context("piped")?.write_all(text.as_bytes());
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {said}\nIt was given:\n{text}");
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("can't run {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed: {}; the lab needs root and iproute2", said.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_owner_and_whether_it_lives() {
        let own = Owner::of(std::process::id()).unwrap();
        assert_eq!(Owner::parse(&format!("{}0-ada", own.prefix())), Some(own));
        let earlier = Owner { start: own.start - 1, ..own };
        assert_ne!(Owner::of(earlier.process), Some(earlier));
        assert_eq!(Owner::parse("browser"), None);
    }
}
