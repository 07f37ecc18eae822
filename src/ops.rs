//! What an operator's machines ask over HTTP: is it alive, is it ready, what has it counted.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use heliograph_base::{Sample, SampleKind};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Reads all counters of the program.
pub(crate) type ReadSamples = Arc<dyn Fn() -> Vec<Sample> + Send + Sync>;

/// Whether new work should come here; shared by those who know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ready(Arc<AtomicBool>);

impl Ready {
    pub(crate) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The routes `/livez`, `/readyz` and `/metrics`.
pub(crate) fn router(ready: Ready, read: ReadSamples) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz).with_state(ready))
        .route("/metrics", get(metrics).with_state(Arc::new(registry(read))))
}

fn registry(read: ReadSamples) -> Registry {
    let mut registry = Registry::with_prefix("heliograph");
    registry.register_collector(Box::new(Samples(read)));
    registry
}

async fn readyz(State(ready): State<Ready>) -> (StatusCode, &'static str) {
    if ready.get() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "shutting down: send new work elsewhere\n")
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> impl IntoResponse {
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, form)], encode(&registry))
}

fn encode(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)
        .expect("writing to a string can't fail");
    text
}

/// Reads the counters when they are scraped, and not before.
struct Samples(ReadSamples);

impl fmt::Debug for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Samples").finish_non_exhaustive()
    }
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let samples = (self.0)();
        let mut rest = samples.as_slice();
        // A descriptor stands once before all values of its name; they follow each other.
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|sample| sample.name == first.name).count();
            let (family, others) = rest.split_at(same);
            encode_family(&mut encoder, family)?;
            rest = others;
        }
        Ok(())
    }
}

fn encode_family(encoder: &mut DescriptorEncoder<'_>, family: &[Sample]) -> fmt::Result {
    let Some(Sample { name, help, kind, .. }) = family.first() else {
        return Ok(());
    };
    let kind = match kind {
        SampleKind::Counter => MetricType::Counter,
        SampleKind::Gauge => MetricType::Gauge,
    };
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for sample in family {
        match &sample.label {
            None => encode_value(sample, &mut metric)?,
            Some(label) => encode_value(sample, &mut metric.encode_family(&[*label])?)?,
        }
    }
    Ok(())
}

fn encode_value(sample: &Sample, metric: &mut MetricEncoder<'_>) -> fmt::Result {
    match sample.kind {
        SampleKind::Counter => {
            metric.encode_counter(&sample.value, None::<&Exemplar<NoLabelSet, u64>>)
        }
        SampleKind::Gauge => metric.encode_gauge(&sample.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_written_as_prometheus_reads_them() {
        let samples = vec![
            Sample::counter("drops", "Dropped packets.", 3).labelled("reason", "too_short"),
            Sample::counter("drops", "Dropped packets.", 0).labelled("reason", "no_permission"),
            Sample::gauge("rooms", "Rooms with members.", 2),
        ];
        let registry = registry(Arc::new(move || samples.clone()));
        let expected = "# HELP heliograph_drops Dropped packets.\n\
                        # TYPE heliograph_drops counter\n\
                        heliograph_drops_total{reason=\"too_short\"} 3\n\
                        heliograph_drops_total{reason=\"no_permission\"} 0\n\
                        # HELP heliograph_rooms Rooms with members.\n\
                        # TYPE heliograph_rooms gauge\n\
                        heliograph_rooms 2\n\
                        # EOF\n";
        assert_eq!(encode(&registry), expected);
    }
}
