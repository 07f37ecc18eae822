//! What the tables say of a run.

use crate::scenario::Used;
use crate::subject::Kind;
use bench_kit::{Histogram, first_headings, shown};

/// One run of one subject, in the units of the table.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Microseconds of CPU time for each piece of work, which is seconds for a million.
    pub(crate) cpu_us: f64,
    /// The same of the benchmark itself.
    pub(crate) own_cpu_us: f64,
    pub(crate) per_second: f64,
    /// Of the server's CPU, 0 to 1.
    pub(crate) busy: f64,
    /// Median and 99 %; NaN where nothing is waited for.
    pub(crate) latency_us: [f64; 2],
    pub(crate) memory: Memory,
    /// What else there is to say.
    pub(crate) note: String,
    /// Why it doesn't count, if it doesn't.
    pub(crate) invalid: Option<String>,
}

/// Resident memory in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Memory {
    /// Of the process at the end.
    Process(f64),
    /// Of each client while it is there, and what is left of that when all are gone.
    Each { joined_kib: f64, left_kib: f64 },
    /// By how much the process grew at most.
    Growth(f64),
}

impl Sample {
    /// What `count` pieces of work took.
    pub(crate) fn of(
        used: &Used,
        count: usize,
        latency: Option<&Histogram>,
        memory: Memory,
    ) -> Self {
        let each = |nanos: u64| nanos as f64 / 1000.0 / count as f64;
        let quantile =
            |share| latency.and_then(|latency| latency.quantile_us(share)).unwrap_or(f64::NAN);
        Self {
            cpu_us: each(used.cpu_ns),
            own_cpu_us: each(used.own_cpu_ns),
            per_second: count as f64 / used.seconds,
            busy: used.cpu_ns as f64 / 1e9 / used.seconds,
            latency_us: [0.5, 0.99].map(quantile),
            memory,
            note: String::new(),
            invalid: (count == 0).then(|| "nothing was done".to_owned()),
        }
    }
}

impl bench_kit::Sample for Sample {
    const CSV_COLUMNS: &'static str = "cpu_us,own_cpu_us,per_second,busy,p50_us,p99_us,\
        memory_kib,left_kib,note,invalid";

    fn cpu_us(&self) -> f64 {
        self.cpu_us
    }

    fn invalid(&self) -> Option<&str> {
        self.invalid.as_deref()
    }

    fn csv_cells(&self) -> String {
        let [p50, p99] = self.latency_us;
        let (memory, left) = match self.memory {
            Memory::Process(kib) | Memory::Growth(kib) => (kib, f64::NAN),
            Memory::Each { joined_kib, left_kib } => (joined_kib, left_kib),
        };
        let one_cell = |text: &str| text.replace([',', '\n'], ";");
        format!(
            "{:.4},{:.4},{:.1},{:.4},{p50:.1},{p99:.1},{memory:.3},{left:.3},{},{}",
            self.cpu_us,
            self.own_cpu_us,
            self.per_second,
            self.busy,
            one_cell(&self.note),
            one_cell(self.invalid.as_deref().unwrap_or_default()),
        )
    }
}

/// All rounds of one subject in one scenario.
pub(crate) type Series = bench_kit::Series<Kind, Sample>;

/// Whose CPU time the others' is compared with.
const YARDSTICKS: [Kind; 2] = [Kind::Naive, Kind::NaiveSmall];

/// The tables of all scenarios as one.
pub(crate) fn table(all: &[Series], markdown: bool) -> String {
    let [work, server, cpu, range, one, other] = first_headings(["/naive", "/naive-small"]);
    let [rate, busy, latency, memory, note] =
        ["per second", "busy %", "p50/p99 us", "memory", "note"];
    let headings = [work, server, cpu, range, one, other, rate, busy, latency, memory, note];
    bench_kit::table(headings, all.iter().map(|series| row(series, all)), &[note], markdown)
}

fn row(series: &Series, all: &[Series]) -> [String; 11] {
    let [work, server, cpu, range, one, other] = series.first_cells(YARDSTICKS, all);
    let latency = [0, 1].map(|place| series.median_of(|sample| sample.latency_us[place]));
    let last = series.valid().last();
    [
        work,
        server,
        cpu,
        range,
        one,
        other,
        shown(series.median_of(|sample| sample.per_second), 0),
        shown(series.median_of(|sample| sample.busy * 100.0), 0),
        latency.map(|us| shown(us, 0)).join("/"),
        memory(series),
        last.map(|sample| sample.note.clone()).unwrap_or_default(),
    ]
}

fn memory(series: &Series) -> String {
    let of = |part: fn(Memory) -> f64| series.median_of(|sample| part(sample.memory));
    let first = of(|memory| match memory {
        Memory::Process(kib) | Memory::Growth(kib) => kib,
        Memory::Each { joined_kib, .. } => joined_kib,
    });
    match series.valid().next().map(|sample| sample.memory) {
        None => "-".to_owned(),
        Some(Memory::Process(_)) => format!("{} MiB", shown(first / 1024.0, 1)),
        Some(Memory::Growth(_)) => format!("+{} MiB", shown(first / 1024.0, 1)),
        Some(Memory::Each { .. }) => {
            let left = of(|memory| match memory {
                Memory::Each { left_kib, .. } => left_kib,
                Memory::Process(_) | Memory::Growth(_) => f64::NAN,
            });
            format!("{} KiB each, {} after", shown(first, 2), shown(left, 2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_medians_of_what_is_valid() {
        let sample = |cpu_us: f64| Sample {
            cpu_us,
            own_cpu_us: 1.0,
            per_second: 1000.0 * cpu_us,
            busy: 0.5,
            latency_us: [1.0, f64::NAN],
            memory: Memory::Each { joined_kib: 2.5, left_kib: 0.25 },
            note: "so it was".to_owned(),
            invalid: (cpu_us == 0.0).then(|| "too cheap".to_owned()),
        };
        let series = |kind, costs: [f64; 3]| {
            let samples = costs.map(|cost| Some(sample(cost))).to_vec();
            Series { scenario: "work", kind, samples }
        };
        let (ours, theirs) = ([1.0, 4.0, 0.0], [2.0, 8.0, 8.0]);
        let all = [series(Kind::Heliograph, ours), series(Kind::Naive, theirs)];
        let row = row(&all[0], &all);
        assert_eq!(row[..4], ["work", "heliograph INVALID 1", "2.50", "1.00-4.00"]);
        assert_eq!(row[4..8], ["0.50", "-", "2500", "50"]);
        assert_eq!(row[8..], ["1/-", "2.50 KiB each, 0.25 after", "so it was"]);
    }
}
