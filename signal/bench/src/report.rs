//! Tables of medians, and every single run for whoever wants to look closer.

use crate::scenario::Used;
use crate::subject::Kind;
use bench_kit::Histogram;
use std::fmt::Write as _;

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

/// All rounds of one subject in one scenario.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) scenario: &'static str,
    pub(crate) kind: Kind,
    /// One for each round, in order; nothing where it failed.
    pub(crate) samples: Vec<Option<Sample>>,
}

const HEADINGS: [&str; 11] = [
    "work",
    "server",
    "CPU us",
    "min-max",
    "/naive",
    "/naive-small",
    "per second",
    "busy %",
    "p50/p99 us",
    "memory",
    "note",
];

/// The tables of all scenarios as one.
pub(crate) fn table(series: &[Series], markdown: bool) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(series.iter().map(|one| row(one, series)));
    let widths: [usize; HEADINGS.len()] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for (place, row) in rows.iter().enumerate() {
        let starts_scenario = place > 1 && rows[place - 1][0] != row[0];
        if starts_scenario && !markdown {
            text.push('\n');
        }
        line(&mut text, row, &widths, markdown);
        if place == 0 && markdown {
            let rule = |column| if is_text(column) { "---" } else { "--:" };
            line(&mut text, &std::array::from_fn(|column| rule(column).to_owned()), &widths, true);
        }
    }
    text
}

fn is_text(column: usize) -> bool {
    column < 2 || column == HEADINGS.len() - 1
}

fn line(
    text: &mut String,
    row: &[String; HEADINGS.len()],
    widths: &[usize; HEADINGS.len()],
    markdown: bool,
) {
    let between = if markdown { " | " } else { "  " };
    let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
        if is_text(column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    });
    let cells = cells.collect::<Vec<_>>().join(between);
    let _ = match markdown {
        true => writeln!(text, "| {cells} |"),
        false => writeln!(text, "{}", cells.trim_end()),
    };
}

fn row(series: &Series, all: &[Series]) -> [String; HEADINGS.len()] {
    let of = |value: fn(&Sample) -> f64| median(series.valid().map(value).collect());
    let costs: Vec<f64> = series.valid().map(|sample| sample.cpu_us).collect();
    let invalid = series.samples.len() - costs.len();
    let least = costs.iter().copied().fold(f64::NAN, f64::min);
    let most = costs.iter().copied().fold(f64::NAN, f64::max);
    let latency = [of(|sample| sample.latency_us[0]), of(|sample| sample.latency_us[1])];
    let mark = if invalid > 0 { format!(" INVALID {invalid}") } else { String::new() };
    let last = series.valid().last();
    [
        series.scenario.to_owned(),
        format!("{}{mark}", series.kind),
        shown(of(|sample| sample.cpu_us), 2),
        format!("{}-{}", shown(least, 2), shown(most, 2)),
        shown(ratio(series, Kind::Naive, all), 2),
        shown(ratio(series, Kind::NaiveSmall, all), 2),
        shown(of(|sample| sample.per_second), 0),
        shown(of(|sample| sample.busy * 100.0), 0),
        latency.map(|us| shown(us, 0)).join("/"),
        memory(series),
        last.map(|sample| sample.note.clone()).unwrap_or_default(),
    ]
}

fn memory(series: &Series) -> String {
    let of = |part: fn(Memory) -> f64| median(series.valid().map(|one| part(one.memory)).collect());
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

fn shown(value: f64, digits: usize) -> String {
    if !value.is_finite() { "-".to_owned() } else { format!("{value:.digits$}") }
}

impl Series {
    fn valid(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().flatten().filter(|sample| sample.invalid.is_none())
    }
}

/// The median of the ratios of CPU time within each round, since the machine drifts between rounds.
fn ratio(series: &Series, to: Kind, all: &[Series]) -> f64 {
    let same = |other: &&Series| other.scenario == series.scenario && other.kind == to;
    let Some(other) = all.iter().find(same) else { return f64::NAN };
    let cost = |sample: &Option<Sample>| {
        sample.as_ref().filter(|sample| sample.invalid.is_none()).map(|sample| sample.cpu_us)
    };
    let pairs = series.samples.iter().zip(&other.samples);
    median(pairs.filter_map(|(one, other)| Some(cost(one)? / cost(other)?)).collect())
}

/// NaN if there are none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => f64::NAN,
        (middle, 0) => f64::midpoint(values[middle - 1], values[middle]),
        (middle, _) => values[middle],
    }
}

/// The first line of a CSV file.
pub(crate) const CSV_HEADER: &str = "scenario,subject,round,cpu_us,own_cpu_us,per_second,busy,\
    p50_us,p99_us,memory_kib,left_kib,note,invalid\n";

/// A line of a CSV file.
pub(crate) fn csv(scenario: &str, kind: Kind, round: usize, sample: &Sample) -> String {
    let [p50, p99] = sample.latency_us;
    let (memory, left) = match sample.memory {
        Memory::Process(kib) | Memory::Growth(kib) => (kib, f64::NAN),
        Memory::Each { joined_kib, left_kib } => (joined_kib, left_kib),
    };
    let one_cell = |text: &str| text.replace([',', '\n'], ";");
    format!(
        "{scenario},{kind},{round},{:.4},{:.4},{:.1},{:.4},{p50:.1},{p99:.1},{memory:.3},\
         {left:.3},{},{}\n",
        sample.cpu_us,
        sample.own_cpu_us,
        sample.per_second,
        sample.busy,
        one_cell(&sample.note),
        one_cell(sample.invalid.as_deref().unwrap_or_default()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(kind: Kind, costs: &[f64]) -> Series {
        let sample = |cpu_us: &f64| Sample {
            cpu_us: *cpu_us,
            own_cpu_us: 1.0,
            per_second: 1000.0,
            busy: 0.5,
            latency_us: [1.0, 2.0],
            memory: Memory::Each { joined_kib: 2.5, left_kib: 0.25 },
            note: String::new(),
            invalid: (*cpu_us == 0.0).then(|| "too cheap".to_owned()),
        };
        let samples = costs.iter().map(|cost| Some(sample(cost))).collect();
        Series { scenario: "work", kind, samples }
    }

    #[test]
    fn ratios_are_within_rounds_and_leave_out_what_is_invalid() {
        let ours = series(Kind::Heliograph, &[1.0, 4.0, 0.0]);
        let theirs = series(Kind::Naive, &[2.0, 8.0, 8.0]);
        let all = [ours, theirs];
        assert_eq!(ratio(&all[0], Kind::Naive, &all), 0.5);
        assert!(ratio(&all[0], Kind::NaiveSmall, &all).is_nan());
        let row = row(&all[0], &all);
        assert_eq!(row[1..5], ["heliograph INVALID 1", "2.50", "1.00-4.00", "0.50"]);
        assert_eq!(row[9], "2.50 KiB each, 0.25 after");
    }

    #[test]
    fn markdown_has_a_rule_below_its_head() {
        let text = table(&[series(Kind::Naive, &[3.0])], true);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("| --- "), "{text}");
    }
}
