//! Clients that have joined, acknowledged and gone quiet: the memory that they hold.

use crate::crowd::Crowd;
use crate::joins::{UNDER_WAY, join, meet_in_pairs};
use crate::report::{Memory, Sample};
use crate::scenario::Run;
use std::time::Duration;

/// After so long all frames are acknowledged.
const ACKNOWLEDGED: Duration = Duration::from_millis(2500);

/// How long a server gets to give memory back.
const CLEARED: Duration = Duration::from_secs(1);

/// CPU time is for each client and second while all are quiet.
pub(crate) fn run(run: &Run, crowd: &mut Crowd) -> anyhow::Result<Sample> {
    run.check_pairs()?;
    // What is made once isn't any client's.
    join(crowd, 0..2, UNDER_WAY, |_| run.count)?;
    crowd.empty()?;
    let before = run.resident_kib()?;

    join(crowd, 0..run.count, UNDER_WAY, |number| number / 2)?;
    meet_in_pairs(crowd, run.count)?;
    crowd.rest(ACKNOWLEDGED)?;
    let begin = run.meter()?;
    // Long enough to be asked for a sign of life.
    crowd.rest(run.plan.measured * 2)?;
    let used = run.used(&begin)?;
    let joined = run.resident_kib()? - before;

    crowd.empty()?;
    crowd.rest(CLEARED)?;
    let left = run.resident_kib()? - before;
    let count = run.count as f64;
    let memory = Memory::Each { joined_kib: joined / count, left_kib: left / count };
    let seconds = used.seconds;
    Ok(Sample::of(&used, (count * seconds) as usize, None, memory))
}
