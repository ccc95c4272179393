//! Logs as JSON lines on standard error, figures for Prometheus. Neither holds names, tokens, addresses or bodies.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Seconds: from a refusal out of memory to a slow database.
const BUCKETS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Begins to log what `filter` lets through (`info`, `liebian=debug`); a filter that cannot be read means `info`. Once per process.
pub fn start_logging(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_unreadable| EnvFilter::new("info"));
    let json = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).with_current_span(true);
    if json.with_span_list(false).try_init().is_err() {
        tracing::debug!("logging had begun already");
    }
}

/// Begins to count; the handle renders the figures. In a process that counts already (tests), the handle renders an empty page.
///
/// # Errors
/// Never with these buckets.
pub fn start_counting() -> Result<PrometheusHandle, BuildError> {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::debug!("counting had begun already");
    }
    Ok(handle)
}
