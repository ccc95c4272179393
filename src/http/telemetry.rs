//! Logs as JSON lines on standard error, figures for Prometheus. Neither holds names, tokens, addresses or bodies.

use std::fmt;
use std::panic::PanicHookInfo;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::request_id::REQUEST_ID;

/// Seconds: from a refusal out of memory to a slow database.
const BUCKETS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
/// What callers send wrong is counted, not logged: they could fill a disk with it.
const QUIET: &str = "actix_http=off";

/// Begins to log what `filter` lets through (`info`, `liebian=debug`); a filter that cannot be read means `info`. Once per process.
pub fn start_logging(filter: &str) {
    let readable = EnvFilter::try_new(filter).is_ok();
    let filter = EnvFilter::new(format!("{QUIET},{}", if readable { filter } else { "info" }));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).event_format(Line);
    if log.try_init().is_err() {
        tracing::debug!("logging had begun already");
    }
    std::panic::set_hook(Box::new(tell_panic));
}

/// A panic is told where it happens, with its cause; whoever catches it adds nothing.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let cause = panic.payload_as_str().unwrap_or_default();
    tracing::error!(at, cause, "panicked");
}

/// One event as one line of JSON, with the id of the request at work. No span is opened for a request: it would cost each of them more than the
/// rest of the envelope, and here only who logs pays.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let of = event.metadata();
        let mut line = json!({"timestamp": time, "level": of.level().as_str(), "target": of.target(), "fields": fields.0});
        if let (Ok(id), Some(line)) = (REQUEST_ID.try_with(|id| *id), line.as_object_mut()) {
            line.insert("request_id".to_owned(), id.as_str().into());
        }
        writeln!(writer, "{line}")
    }
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
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
