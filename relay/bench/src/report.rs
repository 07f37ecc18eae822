//! What the tables say of a run.

use crate::measure::Measured;
use crate::subject::Kind;
use bench_kit::{first_headings, shown};

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

impl bench_kit::Sample for Sample {
    const CSV_COLUMNS: &'static str = "cpu_us,own_cpu_us,per_second,busy,loss,p50_us,p99_us,\
        p999_us,resident_kib,invalid";

    fn cpu_us(&self) -> f64 {
        self.cpu_us
    }

    fn invalid(&self) -> Option<&str> {
        self.invalid.as_deref()
    }

    fn csv_cells(&self) -> String {
        let [p50, p99, p999] = self.latency_us;
        format!(
            "{:.4},{:.4},{:.1},{:.4},{:.6},{p50:.1},{p99:.1},{p999:.1},{:.1},{}",
            self.cpu_us,
            self.own_cpu_us,
            self.per_second,
            self.busy,
            self.loss,
            self.resident_kib,
            self.invalid.as_deref().unwrap_or_default(),
        )
    }
}

/// All rounds of one subject in one scenario.
pub(crate) type Series = bench_kit::Series<Kind, Sample>;

/// Whose CPU time the others' is compared with.
const YARDSTICKS: [Kind; 2] = [Kind::Coturn, Kind::Forward];

/// The tables of all scenarios as one.
pub(crate) fn table(all: &[Series], markdown: bool) -> String {
    let [work, server, cpu, range, one, other] = first_headings(["/coturn", "/forward"]);
    let more = ["k/s", "busy %", "loss %", "p50/p99/p99.9 us", "RSS"];
    let [rate, busy, loss, latency, resident] = more;
    let headings = [work, server, cpu, range, one, other, rate, busy, loss, latency, resident];
    bench_kit::table(headings, all.iter().map(|series| row(series, all)), &[], markdown)
}

fn row(series: &Series, all: &[Series]) -> [String; 11] {
    let [work, server, cpu, range, one, other] = series.first_cells(YARDSTICKS, all);
    let latency = [0, 1, 2].map(|place| series.median_of(|sample| sample.latency_us[place]));
    let kib = series.median_of(|sample| sample.resident_kib);
    let resident = match series.valid().any(|sample| sample.is_each) {
        true => format!("{} KiB each", shown(kib, 1)),
        false => format!("{} MiB", shown(kib / 1024.0, 1)),
    };
    [
        work,
        server,
        cpu,
        range,
        one,
        other,
        shown(series.median_of(|sample| sample.per_second / 1000.0), 1),
        shown(series.median_of(|sample| sample.busy * 100.0), 0),
        shown(series.median_of(|sample| sample.loss * 100.0), 2),
        latency.map(|us| shown(us, 0)).join("/"),
        resident,
    ]
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
            loss: 0.01,
            latency_us: [1.0, 2.0, 3.0],
            resident_kib: 2048.0,
            is_each: false,
            invalid: (cpu_us == 0.0).then(|| "too cheap".to_owned()),
        };
        let series = |kind, costs: [f64; 3]| {
            let samples = costs.map(|cost| Some(sample(cost))).to_vec();
            Series { scenario: "work", kind, samples }
        };
        let (ours, theirs) = ([1.0, 4.0, 0.0], [2.0, 8.0, 8.0]);
        let all = [series(Kind::Heliograph, ours), series(Kind::Coturn, theirs)];
        let row = row(&all[0], &all);
        assert_eq!(row[..4], ["work", "heliograph INVALID 1", "2.50", "1.00-4.00"]);
        assert_eq!(row[4..], ["0.50", "-", "2.5", "50", "1.00", "1/2/3", "2.0 MiB"]);
    }
}
