//! The works that servers are put to, each by its name, and what is read at begin and end.

use crate::cli::Options;
use crate::crowd::Crowd;
use crate::report::Sample;
use crate::subject::{Kind, Subject};
use crate::{broadcast, idle, joins, pairs, session, stalled};
use anyhow::bail;
use bench_kit::Plan;
use heliograph_base::{Clock, Time};

/// One work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    name: &'static str,
    clients: usize,
    work: Work,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    /// Rooms of two in which nothing happens.
    Idle,
    /// Signals in rooms of two at a given rate.
    PairsPaced,
    /// The same, each the answer to the last.
    PairsSaturated,
    /// Many come, leave and come again.
    Joins,
    /// Offer, answer and candidates of two at a time.
    Session,
    /// One comes to many and leaves, again and again.
    Broadcast,
    /// Many come into one room.
    Room,
    /// Some stop reading.
    Stalled,
}

/// All of them, in the order run.
pub(crate) const ALL: [Scenario; 8] = [
    scenario("idle", 10_000, Work::Idle),
    scenario("pairs-paced", 1000, Work::PairsPaced),
    scenario("pairs-saturated", 1000, Work::PairsSaturated),
    scenario("joins", 5000, Work::Joins),
    scenario("session", 2, Work::Session),
    scenario("broadcast", 1000, Work::Broadcast),
    scenario("room-of-1000", 1000, Work::Room),
    scenario("stalled", 230, Work::Stalled),
];

const fn scenario(name: &'static str, clients: usize, work: Work) -> Scenario {
    Scenario { name, clients, work }
}

impl bench_kit::Scenario for Scenario {
    type Kind = Kind;
    type Sample = Sample;

    fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it makes a difference to the others.
    fn suits(&self, kind: Kind) -> bool {
        let is_of_signals = matches!(self.work, Work::PairsPaced | Work::PairsSaturated);
        kind != Kind::HeliographNoIds || is_of_signals
    }
}

impl Scenario {
    /// Puts a server to the work once.
    ///
    /// # Errors
    /// It doesn't start, or doesn't do what it must.
    pub(crate) fn run(&self, kind: Kind, options: &Options) -> anyhow::Result<Sample> {
        let subject = Subject::start(kind, &options.programs)?;
        let clock = Clock::start();
        let count = match matches!(self.work, Work::Session) {
            true => 2,
            false => options.clients.unwrap_or(self.clients),
        };
        // One more than there are: for who comes and goes.
        let mut crowd = Crowd::new(subject.address, subject.language, count + 1, clock)?;
        let run = Run { pid: subject.pid(), clock, count, plan: options.plan };
        let sample = match self.work {
            Work::Idle => idle::run(&run, &mut crowd),
            Work::PairsPaced => pairs::paced(&run, &mut crowd),
            Work::PairsSaturated => pairs::saturated(&run, &mut crowd),
            Work::Joins => joins::run(&run, &mut crowd),
            Work::Session => session::run(&run, &mut crowd),
            Work::Broadcast => broadcast::run(&run, &mut crowd),
            Work::Room => joins::run_room(&run, &mut crowd),
            Work::Stalled => stalled::run(&run, &mut crowd, kind),
        };
        let wrong = crowd.first_wrong.map(|first| format!("{} times: {first}", crowd.wrong));
        match (sample, wrong) {
            (Ok(sample), None) => Ok(sample),
            (Ok(sample), invalid) => Ok(Sample { invalid, ..sample }),
            (Err(error), wrong) => Err(error.context(wrong.unwrap_or_default())),
        }
    }
}

/// What one run has to do with.
pub(crate) struct Run {
    pub(crate) pid: u32,
    pub(crate) clock: Clock,
    /// How many clients there are.
    pub(crate) count: usize,
    pub(crate) plan: Plan,
}

/// What was used between two readings, or several pairs of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) seconds: f64,
    pub(crate) cpu_ns: u64,
    /// By the benchmark itself.
    pub(crate) own_cpu_ns: u64,
}

impl Used {
    pub(crate) fn add(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.cpu_ns += other.cpu_ns;
        self.own_cpu_ns += other.own_cpu_ns;
    }
}

/// A first reading.
pub(crate) struct Meter {
    at: Time,
    cpu_ns: u64,
    own_cpu_ns: u64,
}

impl Run {
    pub(crate) fn meter(&self) -> anyhow::Result<Meter> {
        let (cpu_ns, own_cpu_ns) =
            (bench_kit::cpu_ns(self.pid)?, bench_kit::cpu_ns(std::process::id())?);
        Ok(Meter { at: self.clock.now().time, cpu_ns, own_cpu_ns })
    }

    /// What was used since then.
    pub(crate) fn used(&self, since: &Meter) -> anyhow::Result<Used> {
        let now = self.meter()?;
        Ok(Used {
            seconds: now.at.since(since.at).as_secs_f64(),
            cpu_ns: now.cpu_ns - since.cpu_ns,
            own_cpu_ns: now.own_cpu_ns - since.own_cpu_ns,
        })
    }

    pub(crate) fn resident_kib(&self) -> anyhow::Result<f64> {
        Ok(bench_kit::resident_kib(self.pid)? as f64)
    }

    /// Fails if there are no pairs.
    pub(crate) fn check_pairs(&self) -> anyhow::Result<()> {
        if !self.count.is_multiple_of(2) {
            bail!("clients come in pairs");
        }
        Ok(())
    }
}
