//! Traces for an OpenTelemetry collector: what the halves record as spans goes there by OTLP over
//! HTTP. Only in builds with the feature `otel`.

use crate::cli::Settings;
use crate::config::quoted;
use signal_server::OutgoingUrl;

/// The settings in force.
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    url: OutgoingUrl,
    /// The share of traces that is kept, 0 to 1.
    share: f64,
    #[cfg(feature = "otel")]
    client: signal_server::HttpClient,
}

impl Traces {
    /// Checks the settings; nothing without a collector.
    ///
    /// # Errors
    /// One line for the operator, which names the flag.
    pub(crate) fn of(settings: &Settings) -> Result<Option<Self>, String> {
        let Some(url) = &settings.otlp_url else {
            return match settings.otlp_share {
                Some(_) => Err("--otlp-share has no effect without --otlp-url".to_owned()),
                None => Ok(None),
            };
        };
        if !cfg!(feature = "otel") {
            return Err(
                "--otlp-url: this build sends no traces: build it with --features otel".to_owned()
            );
        }
        let share = settings.otlp_share.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("--otlp-share {share}: needs a number from 0 to 1"));
        }
        Ok(Some(Self {
            url: url.0.clone(),
            share,
            #[cfg(feature = "otel")]
            client: crate::auth::client(settings)?,
        }))
    }

    /// Gives out the lines of a configuration file.
    pub(crate) fn lines(&self, line: &mut impl FnMut(&str, String)) {
        line("otlp-url", quoted(&self.url));
        line("otlp-share", self.share.to_string());
    }
}

#[cfg(feature = "otel")]
pub(crate) use export::Exporter;

#[cfg(feature = "otel")]
mod export {
    use super::Traces;
    use async_trait::async_trait;
    use axum::body::Bytes;
    use axum::http::{Request, Response};
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_http::HttpError;
    use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanLimits};
    use signal_server::{HttpClient, Outgoing, OutgoingUrl};
    use std::time::Duration;
    use tracing::{Subscriber, warn};
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::registry::LookupSpan;

    /// How long one delivery may take.
    const TIMEOUT: Duration = Duration::from_secs(10);

    /// The largest answer that is read of the collector.
    const ANSWER_BYTES_MAX: usize = 64 << 10;

    /// What of a session's life is kept in its span; later events are left out.
    const EVENTS_PER_SPAN_MAX: u32 = 64;

    /// For how long the end of the program waits for the last delivery.
    const LAST_DELIVERY: Duration = Duration::from_secs(3);

    /// Sends spans to a collector, from a thread of its own. What it can't send it drops: traces
    /// never hold up the server.
    #[derive(Debug)]
    pub(crate) struct Exporter {
        provider: SdkTracerProvider,
    }

    impl Exporter {
        /// Starts it.
        ///
        /// # Errors
        /// One line for the operator.
        pub(crate) fn start(traces: &Traces) -> Result<Self, String> {
            let failed = |why: &dyn std::fmt::Display| format!("--otlp-url: {why}");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let post = Post {
                client: traces.client.clone(),
                url: traces.url.clone(),
                runtime: runtime.map_err(|error| failed(&error))?,
            };
            let spans = SpanExporter::builder()
                .with_http()
                .with_http_client(post)
                .with_endpoint(traces.url.to_string())
                .with_timeout(TIMEOUT)
                .build();
            let sampler = Sampler::TraceIdRatioBased(traces.share);
            let limits =
                SpanLimits { max_events_per_span: EVENTS_PER_SPAN_MAX, ..SpanLimits::default() };
            let provider = SdkTracerProvider::builder()
                .with_batch_exporter(spans.map_err(|error| failed(&error))?)
                .with_sampler(Sampler::ParentBased(Box::new(sampler)))
                .with_span_limits(limits)
                .with_resource(Resource::builder().with_service_name("heliograph").build())
                .build();
            Ok(Self { provider })
        }

        /// What hands it the spans of our own code, and the events in them.
        pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
        where
            S: Subscriber + for<'a> LookupSpan<'a>,
        {
            let ours = ["heliograph", "signal_server", "relay_server"];
            let ours = Targets::new().with_targets(ours.map(|part| (part, LevelFilter::DEBUG)));
            let tracer = self.provider.tracer("heliograph");
            tracing_opentelemetry::layer().with_tracer(tracer).with_filter(ours)
        }
    }

    impl Drop for Exporter {
        fn drop(&mut self) {
            if let Err(error) = self.provider.shutdown_with_timeout(LAST_DELIVERY) {
                warn!(%error, "the last traces were not delivered");
            }
        }
    }

    /// The way to the collector. Its futures run on the exporter's own thread, and make the
    /// requests on a runtime that is driven only there.
    #[derive(Debug)]
    struct Post {
        client: HttpClient,
        url: OutgoingUrl,
        runtime: tokio::runtime::Runtime,
    }

    #[async_trait]
    impl opentelemetry_http::HttpClient for Post {
        async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            let (head, body) = request.into_parts();
            let outgoing = Outgoing {
                method: head.method,
                url: self.url.clone(),
                headers: head.headers,
                body,
                timeout: TIMEOUT,
                answer_bytes_max: ANSWER_BYTES_MAX,
            };
            let answer = self.runtime.block_on(self.client.send(outgoing));
            let answer = answer.map_err(|unanswered| unanswered.to_string())?;
            let mut response = Response::new(answer.body);
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(response)
        }
    }
}
