//! What the benchmarks of both halves share: the command line, works and subjects in turns, server
//! processes, readings of /proc, tables. What they measure, and with what load, is their own.

mod arguments;
mod latency;
mod report;
mod server;
pub mod smoke;
mod sys;
mod turns;
mod usage;

pub use arguments::{Arguments, Plan};
pub use latency::Histogram;
pub use report::{Sample, Series, first_headings, shown, table};
pub use server::{External, OWN_CPU, Output, Process, SERVER_CPU, forget_settings};
pub use sys::{
    Interest, Poller, Ready, choose_port_late, confine, go_first, pin, raise_open_files,
};
pub use turns::{AllSeries, Scenario, exit, list, print, there};
pub use usage::{cpu_ns, resident_kib};
