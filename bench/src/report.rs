//! Tables of medians, and every single run for whoever wants to look closer.

use std::fmt::{Display, Write as _};

/// One run of one subject.
pub trait Sample {
    /// The columns of a CSV file that are a sample's own.
    const CSV_COLUMNS: &'static str;

    /// Microseconds of CPU time for each piece of work, which is seconds for a million.
    fn cpu_us(&self) -> f64;

    /// Why it doesn't count, if it doesn't.
    fn invalid(&self) -> Option<&str>;

    /// Its cells in these columns.
    fn csv_cells(&self) -> String;
}

/// All rounds of one subject in one scenario.
#[derive(Clone, Debug)]
pub struct Series<K, S> {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The subject.
    pub kind: K,
    /// One for each round, in order; nothing where it failed.
    pub samples: Vec<Option<S>>,
}

impl<K: Copy + Display + PartialEq, S: Sample> Series<K, S> {
    /// The samples that count.
    pub fn valid(&self) -> impl Iterator<Item = &S> {
        self.samples.iter().flatten().filter(|sample| sample.invalid().is_none())
    }

    /// The median of a value of those that count; NaN if there are none.
    pub fn median_of(&self, value: impl FnMut(&S) -> f64) -> f64 {
        median(self.valid().map(value).collect())
    }

    /// The median of the ratios of CPU time to another subject's within each round, since the
    /// machine drifts between rounds. NaN if there are none.
    pub fn ratio(&self, to: K, all: &[Self]) -> f64 {
        let same = |other: &&Self| other.scenario == self.scenario && other.kind == to;
        let Some(other) = all.iter().find(same) else { return f64::NAN };
        let cost = |sample: &Option<S>| {
            sample.as_ref().filter(|sample| sample.invalid().is_none()).map(Sample::cpu_us)
        };
        let pairs = self.samples.iter().zip(&other.samples);
        median(pairs.filter_map(|(one, other)| Some(cost(one)? / cost(other)?)).collect())
    }

    /// The first cells of its row: scenario, subject and how many rounds don't count, CPU time, its
    /// least and most, and the ratios to two others.
    pub fn first_cells(&self, to: [K; 2], all: &[Self]) -> [String; 6] {
        let costs: Vec<f64> = self.valid().map(Sample::cpu_us).collect();
        let invalid = self.samples.len() - costs.len();
        let mark = if invalid > 0 { format!(" INVALID {invalid}") } else { String::new() };
        let least = costs.iter().copied().fold(f64::NAN, f64::min);
        let most = costs.iter().copied().fold(f64::NAN, f64::max);
        let [first, second] = to.map(|to| shown(self.ratio(to, all), 2));
        [
            self.scenario.to_owned(),
            format!("{}{mark}", self.kind),
            shown(median(costs), 2),
            format!("{}-{}", shown(least, 2), shown(most, 2)),
            first,
            second,
        ]
    }

    /// The line of a CSV file for one of its samples.
    pub(crate) fn csv(&self, round: usize, sample: &S) -> String {
        format!("{},{},{round},{}\n", self.scenario, self.kind, sample.csv_cells())
    }
}

/// The headings of [`Series::first_cells`], with the names of the two others.
#[must_use]
pub const fn first_headings(to: [&str; 2]) -> [&str; 6] {
    ["work", "server", "CPU us", "min-max", to[0], to[1]]
}

/// A number for a cell.
#[must_use]
pub fn shown(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "-".to_owned() }
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

/// Rows as one text, those of each scenario apart. The first two columns and `texts` begin at the
/// left, the others end at the right.
#[must_use]
pub fn table<const N: usize>(
    headings: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    texts: &[&str],
    markdown: bool,
) -> String {
    let all: Vec<_> = [headings.map(str::to_owned)].into_iter().chain(rows).collect();
    let columns: [Column; N] = std::array::from_fn(|column| Column {
        width: all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0),
        is_text: column < 2 || texts.contains(&headings[column]),
    });
    let mut text = String::new();
    for (place, row) in all.iter().enumerate() {
        let starts_scenario = place > 1 && all[place - 1][0] != row[0];
        if starts_scenario && !markdown {
            text.push('\n');
        }
        line(&mut text, row, &columns, markdown);
        if place == 0 && markdown {
            let rule = columns.each_ref().map(|it| if it.is_text { "---" } else { "--:" });
            line(&mut text, &rule.map(str::to_owned), &columns, true);
        }
    }
    text
}

struct Column {
    width: usize,
    is_text: bool,
}

fn line(text: &mut String, row: &[String], columns: &[Column], markdown: bool) {
    let between = if markdown { " | " } else { "  " };
    let cells = row.iter().zip(columns).map(|(cell, Column { width, is_text })| match is_text {
        true => format!("{cell:<width$}"),
        false => format!("{cell:>width$}"),
    });
    let cells = cells.collect::<Vec<_>>().join(between);
    let _ = match markdown {
        true => writeln!(text, "| {cells} |"),
        false => writeln!(text, "{}", cells.trim_end()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Cost(f64);

    impl Sample for Cost {
        const CSV_COLUMNS: &'static str = "cpu_us";

        fn cpu_us(&self) -> f64 {
            self.0
        }

        fn invalid(&self) -> Option<&str> {
            (self.0 == 0.0).then_some("too cheap")
        }

        fn csv_cells(&self) -> String {
            self.0.to_string()
        }
    }

    fn series(kind: &'static str, costs: &[f64]) -> Series<&'static str, Cost> {
        let samples = costs.iter().map(|cost| Some(Cost(*cost))).collect();
        Series { scenario: "work", kind, samples }
    }

    #[test]
    fn ratios_are_within_rounds_and_leave_out_what_is_invalid() {
        let all = [series("ours", &[1.0, 4.0, 0.0]), series("theirs", &[2.0, 8.0, 8.0])];
        assert_eq!(all[0].ratio("theirs", &all), 0.5);
        assert!(all[0].ratio("others", &all).is_nan());
        let row = all[0].first_cells(["theirs", "others"], &all);
        assert_eq!(row, ["work", "ours INVALID 1", "2.50", "1.00-4.00", "0.50", "-"]);
    }

    #[test]
    fn numbers_end_and_texts_begin_below_each_other() {
        let rows =
            || [["a", "b", "1", "x"], ["a", "bb", "10", "yy"]].map(|row| row.map(str::to_owned));
        let headings = ["work", "server", "n", "note"];
        let plain = table(headings, rows().into_iter(), &["note"], false);
        assert_eq!(plain, "work  server   n  note\na     b        1  x\na     bb      10  yy\n");
        let markdown = table(headings, rows().into_iter(), &["note"], true);
        let rule = markdown.lines().nth(1).unwrap();
        assert_eq!(rule, "| ---  | ---    | --: | ---  |", "{markdown}");
    }
}
