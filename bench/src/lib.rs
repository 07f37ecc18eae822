//! What the benchmarks of both halves share. What they measure, and with what load, is their own.

mod latency;
mod sys;
mod usage;

pub use latency::Histogram;
pub use sys::{confine, go_first, pin, raise_open_files};
pub use usage::{cpu_ns, resident_kib};
