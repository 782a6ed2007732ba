//! Traces: a span for each request to the API and for each attempt, told to an OTLP receiver over HTTP.
//!
//! Promise: what carries a trace (W3C Trace Context) is continued: the request's span is a child of the caller's, its own context is stored
//! with the message, each attempt is a child of that, and the receiver is sent the attempt's. Telling runs beside the work, on a thread of its
//! own: where the receiver of traces is away, spans are dropped and nothing waits. Without an endpoint there are no spans, and traces are
//! passed on as they came.
//!
//! No span holds a body, a header or a query.

use std::time::Duration;

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use serde::Deserialize;

use crate::environment::{ConfigError, Faults, Variables, read};

/// How long one export may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where spans go, and which.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TraceConfig {
    /// Base URL of the receiver; `None`: there are no spans.
    endpoint: Option<String>,
    /// Of the traces that begin here, the share that is told, 0 to 1. Those that come from outside say it themselves.
    ratio: f64,
}

/// The variables of [`TraceConfig`], by their usual names.
#[derive(Debug, Deserialize)]
pub struct TraceVariables {
    /// Such as `http://collector:4318`. Default: none.
    otel_exporter_otlp_endpoint: Option<String>,
    /// 0 to 1. Default 1.
    otel_traces_sampler_arg: Option<String>,
}

impl TraceConfig {
    /// Reads `OTEL_EXPORTER_OTLP_ENDPOINT` and `OTEL_TRACES_SAMPLER_ARG`.
    ///
    /// # Errors
    /// Their faults.
    pub fn read(variables: &Variables) -> Result<TraceConfig, ConfigError> {
        let raw: TraceVariables = read(variables)?;
        let mut faults = Faults::default();
        let endpoint = faults.optional("OTEL_EXPORTER_OTLP_ENDPOINT", raw.otel_exporter_otlp_endpoint, endpoint);
        let ratio = faults.or("OTEL_TRACES_SAMPLER_ARG", 1.0, raw.otel_traces_sampler_arg, ratio);
        faults.finish(|| Some(TraceConfig { endpoint, ratio }))
    }
}

fn endpoint(value: &str) -> Result<String, &'static str> {
    let is_base = |rest: &str| !rest.is_empty() && !rest.contains(['?', '#', '@', ' ']);
    match value.strip_prefix("http://") {
        Some(rest) if is_base(rest) => Ok(value.trim_end_matches('/').to_owned()),
        _ => Err(
            "takes http://HOST:PORT of an OTLP receiver, such as a collector beside the service, which speaks TLS to others",
        ),
    }
}

fn ratio(value: &str) -> Result<f64, &'static str> {
    value.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or("takes a number from 0 to 1")
}

/// Where a service begins its spans. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Telling>);

#[derive(Debug, Clone)]
struct Telling {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// What a span is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A request that came.
    Server,
    /// A request that is sent.
    Client,
}

impl Traces {
    /// Begins to tell, as this service.
    ///
    /// # Errors
    /// A sentence: it cannot.
    pub fn start(config: &TraceConfig, service: &'static str) -> Result<Traces, String> {
        let Some(endpoint) = &config.endpoint else { return Ok(Traces(None)) };
        // The exporter's client wants one where another crate has given it TLS, also for plain HTTP. Whoever else uses TLS here names its own.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| format!("traces cannot be told: {error}"))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.ratio))))
            .with_resource(Resource::builder().with_service_name(service).with_attribute(version).build())
            .build();
        Ok(Traces(Some(Telling { tracer: provider.tracer("posthaste"), provider })))
    }

    /// Begins a span, as a child of what this `traceparent` says, or as the first of a new trace.
    #[must_use]
    pub fn begin(&self, side: Side, name: &'static str, parent: Option<&str>) -> Span {
        let Some(Telling { tracer, .. }) = &self.0 else { return Span(None) };
        let kind = match side {
            Side::Server => SpanKind::Server,
            Side::Client => SpanKind::Client,
        };
        let around = parent
            .and_then(context)
            .map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let builder = tracer.span_builder(name).with_kind(kind);
        Span(Some(Box::new(builder.start_with_context(tracer, &around))))
    }

    /// Tells what is not told yet.
    pub async fn end(self) {
        let Some(Telling { provider, .. }) = self.0 else { return };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(TIMEOUT)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last spans are not told");
        }
    }
}

/// A span under way; it ends when it is dropped. Of a service that tells none it is nothing.
#[derive(Debug)]
pub struct Span(Option<Box<opentelemetry_sdk::trace::Span>>);

impl Span {
    /// What to pass on, so that what follows is its child.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let context = self.0.as_ref()?.span_context();
        let flags = context.trace_flags().to_u8();
        Some(format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
    }

    /// Notes a fact, by a name of OpenTelemetry's semantic conventions or with `posthaste.` before it.
    pub fn note(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// Gives it a name that is known only now.
    pub fn rename(&mut self, name: String) {
        if let Some(span) = &mut self.0 {
            span.update_name(name);
        }
    }

    /// It came to nothing, for this reason.
    pub fn fail(&mut self, why: &'static str) {
        self.note("error.type", why);
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(why));
        }
    }
}

/// Of a `traceparent` in version 00.
fn context(parent: &str) -> Option<SpanContext> {
    let mut parts = parent.split('-');
    let (_version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<TraceConfig, ConfigError> {
        TraceConfig::read(&pairs.iter().copied().collect())
    }

    #[test]
    fn settings() {
        assert_eq!(config(&[]), Ok(TraceConfig { endpoint: None, ratio: 1.0 }));
        let given = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"), ("OTEL_TRACES_SAMPLER_ARG", "0.25")];
        assert_eq!(config(&given), Ok(TraceConfig { endpoint: Some("http://collector:4318".to_owned()), ratio: 0.25 }));
        for wrong in ["https://collector", "collector:4318", "http://", "http://me:hunter2@collector"] {
            let error =
                config(&[("OTEL_EXPORTER_OTLP_ENDPOINT", wrong), ("OTEL_TRACES_SAMPLER_ARG", "2")]).unwrap_err();
            assert_eq!(error.faults().len(), 2, "{wrong}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn parents_are_read_and_without_an_endpoint_there_is_no_span() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = context(parent).unwrap();
        assert_eq!(format!("00-{}-{}-01", read.trace_id(), read.span_id()), parent);
        assert!(read.trace_flags().is_sampled() && read.is_remote());
        assert_eq!(context("00-0-0-00"), None);
        assert_eq!(Traces::default().begin(Side::Client, "attempt", Some(parent)).traceparent(), None);
    }
}
