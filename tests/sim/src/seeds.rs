//! Running many seeds, and telling how to see the one that fails again.

use crate::Trace;
use std::env;
use std::panic::{self, AssertUnwindSafe};

/// Runs one seed after the other: those from 0 on, as many as the variable `HELIOGRAPH_SEEDS` says
/// or else `count`; or the one of `HELIOGRAPH_SEED` alone, with a trace.
///
/// Gives what each of them was good for.
///
/// # Panics
/// With the first seed that does, after saying how to replay it.
#[expect(clippy::print_stderr, reason = "a failing seed prints itself")]
pub fn run_seeds<T>(scenario: &str, count: u64, run: impl Fn(u64, Trace) -> T) -> Vec<T> {
    let number = |name| env::var(name).ok().map(|text| text.parse().expect("a number"));
    if let Some(seed) = number("HELIOGRAPH_SEED") {
        return vec![run(seed, Trace::ON)];
    }
    let run = |seed| {
        let run = AssertUnwindSafe(|| run(seed, Trace::OFF));
        panic::catch_unwind(run).unwrap_or_else(|panic| {
            eprintln!(
                "\nseed {seed} of the {scenario} world failed; see it again:\n    \
                 HELIOGRAPH_SEED={seed} cargo test -p heliograph-sim --test {scenario}\n"
            );
            panic::resume_unwind(panic)
        })
    };
    (0..number("HELIOGRAPH_SEEDS").unwrap_or(count)).map(run).collect()
}
