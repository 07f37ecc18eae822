//! The counters of the program at one moment, by name.

use heliograph_base::Sample;

/// All counters as they were read.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Vec<Sample>);

impl Samples {
    pub(super) fn new(samples: Vec<Sample>) -> Self {
        Self(samples)
    }

    /// The value of a name, summed over its labels; 0 if nobody counts it.
    pub(super) fn sum(&self, name: &str) -> u64 {
        self.named(name).map(|sample| sample.value).sum()
    }

    /// The value of one label of a name.
    pub(super) fn labelled(&self, name: &str, label: &str) -> u64 {
        let labels = self.labels(name).filter(|(there, _)| *there == label);
        labels.map(|(_, value)| value).sum()
    }

    /// The labels of a name and their values.
    pub(super) fn labels(&self, name: &str) -> impl Iterator<Item = (&'static str, u64)> {
        self.named(name).filter_map(|sample| Some((sample.label?.1, sample.value)))
    }

    /// Whether anybody counts it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }
}
