//! A counter as an exporter wants it, so that the binary can export what it doesn't know.

/// The value of one counter at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What is counted, `snake_case`, without the program's prefix or a suffix of the format.
    pub name: &'static str,
    /// One sentence about it.
    pub help: &'static str,
    /// Whether it can go down.
    pub kind: SampleKind,
    /// Which of several of the same name, if there are: label and value.
    pub label: Option<(&'static str, &'static str)>,
    /// Its value.
    pub value: u64,
}

/// Whether a value can go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Sample {
    /// A value that only grows.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: SampleKind::Counter, label: None, value }
    }

    /// A value that goes up and down.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: SampleKind::Gauge, label: None, value }
    }

    /// The same, as one of several of its name.
    #[must_use]
    pub const fn labelled(mut self, label: &'static str, value: &'static str) -> Self {
        self.label = Some((label, value));
        self
    }
}
