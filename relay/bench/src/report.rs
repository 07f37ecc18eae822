//! Tables of medians, and every single run for whoever wants to look closer.

use crate::measure::Measured;
use crate::subject::Kind;
use std::fmt::Write as _;

/// One run of one subject, in the units of the table.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Microseconds of CPU time for each packet, which is seconds for a million.
    pub(crate) cpu_us: f64,
    /// The same of the benchmark itself.
    pub(crate) own_cpu_us: f64,
    pub(crate) per_second: f64,
    /// Of the server's CPU, 0 to 1.
    pub(crate) busy: f64,
    /// Of the packets sent, 0 to 1.
    pub(crate) loss: f64,
    /// Median, 99 % and 99.9 %.
    pub(crate) latency_us: [f64; 3],
    pub(crate) resident_kib: f64,
    /// Whether that is of each allocation, not of the process.
    pub(crate) is_each: bool,
    /// Why it doesn't count, if it doesn't.
    pub(crate) invalid: Option<String>,
}

/// Above this, a run whose rate is given by the load doesn't count.
const LOSS_MAX: f64 = 0.05;

impl Sample {
    /// `is_paced`: the load decides how many packets there are, not the server.
    pub(crate) fn of(measured: &Measured, is_paced: bool) -> Self {
        let (packets, tally) = (measured.packets as f64, &measured.tally);
        let lost = tally.watched_sent.saturating_sub(tally.watched_received) as f64;
        let loss = lost / (tally.watched_sent as f64).max(1.0);
        let invalid = if tally.received == 0 {
            Some("nothing came".to_owned())
        } else if tally.wrong > 0 {
            Some(format!("{} wrong packets", tally.wrong))
        } else if tally.repeated > 0 {
            Some(format!("{} packets came twice", tally.repeated))
        } else if is_paced && loss > LOSS_MAX {
            Some("too much loss".to_owned())
        } else {
            None
        };
        let latency = |share| measured.latency.quantile_us(share).unwrap_or(f64::NAN);
        Self {
            cpu_us: measured.cpu_ns as f64 / 1000.0 / packets,
            own_cpu_us: measured.own_cpu_ns as f64 / 1000.0 / packets,
            per_second: packets / measured.seconds,
            busy: measured.cpu_ns as f64 / 1e9 / measured.seconds,
            loss,
            latency_us: [0.5, 0.99, 0.999].map(latency),
            resident_kib: measured.resident_kib as f64,
            is_each: false,
            invalid,
        }
    }

    /// What `count` allocations took: CPU time of the server and of the benchmark, and memory.
    pub(crate) fn of_allocations(
        count: usize,
        seconds: f64,
        [cpu_ns, own_cpu_ns]: [u64; 2],
        resident_kib: u64,
    ) -> Self {
        let count = count as f64;
        Self {
            cpu_us: cpu_ns as f64 / 1000.0 / count,
            own_cpu_us: own_cpu_ns as f64 / 1000.0 / count,
            per_second: count / seconds,
            busy: cpu_ns as f64 / 1e9 / seconds,
            loss: 0.0,
            latency_us: [f64::NAN; 3],
            resident_kib: resident_kib as f64 / count,
            is_each: true,
            invalid: None,
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
    "/coturn",
    "/forward",
    "k/s",
    "busy %",
    "loss %",
    "p50/p99/p99.9 us",
    "RSS",
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
            let rule =
                std::array::from_fn(
                    |column| {
                        if column < 2 { "---".to_owned() } else { "--:".to_owned() }
                    },
                );
            line(&mut text, &rule, &widths, markdown);
        }
    }
    text
}

fn line(
    text: &mut String,
    row: &[String; HEADINGS.len()],
    widths: &[usize; HEADINGS.len()],
    markdown: bool,
) {
    let between = if markdown { " | " } else { "  " };
    let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
        if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
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
    let shown = |value: f64, digits: usize| match value.is_nan() {
        true => "-".to_owned(),
        false => format!("{value:.digits$}"),
    };
    let invalid = series.samples.len() - costs.len();
    let least = costs.iter().copied().fold(f64::NAN, f64::min);
    let most = costs.iter().copied().fold(f64::NAN, f64::max);
    let latency = [
        of(|sample| sample.latency_us[0]),
        of(|sample| sample.latency_us[1]),
        of(|sample| sample.latency_us[2]),
    ];
    let kib = of(|sample| sample.resident_kib);
    let resident = match series.valid().any(|sample| sample.is_each) {
        true => format!("{} KiB each", shown(kib, 1)),
        false => format!("{} MiB", shown(kib / 1024.0, 1)),
    };
    let mark = if invalid > 0 { format!(" INVALID {invalid}") } else { String::new() };
    [
        series.scenario.to_owned(),
        format!("{}{mark}", series.kind),
        shown(of(|sample| sample.cpu_us), 2),
        format!("{}-{}", shown(least, 2), shown(most, 2)),
        shown(ratio(series, Kind::Coturn, all), 2),
        shown(ratio(series, Kind::Forward, all), 2),
        shown(of(|sample| sample.per_second / 1000.0), 1),
        shown(of(|sample| sample.busy * 100.0), 0),
        shown(of(|sample| sample.loss * 100.0), 2),
        latency.map(|us| shown(us, 0)).join("/"),
        resident,
    ]
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
    loss,p50_us,p99_us,p999_us,resident_kib,invalid\n";

/// A line of a CSV file.
pub(crate) fn csv(scenario: &str, kind: Kind, round: usize, sample: &Sample) -> String {
    let [p50, p99, p999] = sample.latency_us;
    format!(
        "{scenario},{kind},{round},{:.4},{:.4},{:.1},{:.4},{:.6},{p50:.1},{p99:.1},{p999:.1},\
         {:.1},{}\n",
        sample.cpu_us,
        sample.own_cpu_us,
        sample.per_second,
        sample.busy,
        sample.loss,
        sample.resident_kib,
        sample.invalid.as_deref().unwrap_or_default(),
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
            loss: 0.0,
            latency_us: [1.0, 2.0, 3.0],
            resident_kib: 2048.0,
            is_each: false,
            invalid: (*cpu_us == 0.0).then(|| "too cheap".to_owned()),
        };
        let samples = costs.iter().map(|cost| Some(sample(cost))).collect();
        Series { scenario: "work", kind, samples }
    }

    #[test]
    fn ratios_are_within_rounds_and_leave_out_what_is_invalid() {
        let ours = series(Kind::Heliograph, &[1.0, 4.0, 0.0]);
        let theirs = series(Kind::Coturn, &[2.0, 8.0, 8.0]);
        let all = [ours, theirs];
        assert_eq!(ratio(&all[0], Kind::Coturn, &all), 0.5);
        assert!(ratio(&all[0], Kind::Forward, &all).is_nan());
        let row = row(&all[0], &all);
        assert_eq!(row[1..5], ["heliograph INVALID 1", "2.50", "1.00-4.00", "0.50"]);
    }

    #[test]
    fn markdown_has_a_rule_below_its_head() {
        let text = table(&[series(Kind::Forward, &[3.0])], true);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("| --- "), "{text}");
    }
}
