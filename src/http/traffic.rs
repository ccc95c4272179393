//! Requests by route, method and status, with their durations, for Prometheus.
//!
//! Counted for every request, so by a few atomic additions: each worker remembers the rows it has met, and a row is fixed buckets that need
//! no upkeep. The rest of the figures go through the `metrics` crate, which costs more and is met less often.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::Method;

/// Upper bounds in microseconds, from a refusal out of memory to a slow database; what takes longer is in the last bucket.
const BOUNDS: [u64; 12] = [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];
const BUCKETS: usize = BOUNDS.len() + 1;

/// The figures of the process.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<Vec<Arc<Row>>>);

/// A worker's way to them.
#[derive(Debug)]
pub struct Meter {
    traffic: Arc<Traffic>,
    rows: RefCell<HashMap<String, Vec<Arc<Row>>>>,
}

#[derive(Debug)]
struct Row {
    route: String,
    method: &'static str,
    status: u16,
    buckets: [AtomicU64; BUCKETS],
    micros: AtomicU64,
}

impl Traffic {
    fn row(&self, route: &str, method: &'static str, status: u16) -> Arc<Row> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = rows.iter().find(|row| row.is(method, status) && row.route == route) {
            return Arc::clone(row);
        }
        let (buckets, micros) = Default::default();
        let row = Arc::new(Row { route: route.to_owned(), method, status, buckets, micros });
        rows.push(Arc::clone(&row));
        row
    }

    /// In Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        writeln!(text, "# TYPE liebian_http_requests_total counter")?;
        for row in &rows {
            let all: u64 = row.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum();
            writeln!(text, "liebian_http_requests_total{{{}}} {all}", row.labels())?;
        }
        writeln!(text, "\n# TYPE liebian_http_request_seconds histogram")?;
        rows.iter().try_for_each(|row| row.histogram(text))?;
        writeln!(text)
    }
}

impl Meter {
    /// One for a worker.
    #[must_use]
    pub fn new(traffic: Arc<Traffic>) -> Self {
        Self { traffic, rows: RefCell::default() }
    }

    /// Counts one answer. `route` is a pattern, never what the caller sent: there are no more rows than routes and statuses.
    pub fn count(&self, route: Option<String>, method: &'static str, status: u16, took: Duration) {
        let route = route.unwrap_or_else(|| "none".to_owned());
        let mut known = self.rows.borrow_mut();
        if let Some(rows) = known.get_mut(route.as_str()) {
            if let Some(row) = rows.iter().find(|row| row.is(method, status)) {
                return row.add(took);
            }
            let row = self.traffic.row(&route, method, status);
            row.add(took);
            rows.push(row);
        } else {
            let row = self.traffic.row(&route, method, status);
            row.add(took);
            known.insert(route, vec![row]);
        }
    }
}

impl Row {
    fn is(&self, method: &'static str, status: u16) -> bool {
        self.status == status && self.method == method
    }

    fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn labels(&self) -> String {
        format!("route=\"{}\",method=\"{}\",status=\"{}\"", self.route, self.method, self.status)
    }

    fn histogram(&self, text: &mut String) -> std::fmt::Result {
        let labels = self.labels();
        let mut all = 0;
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS.into_iter().map(Some).chain([None])) {
            all += bucket.load(Ordering::Relaxed);
            let bound = bound.map_or_else(|| "+Inf".to_owned(), seconds);
            writeln!(text, "liebian_http_request_seconds_bucket{{{labels},le=\"{bound}\"}} {all}")?;
        }
        let sum = seconds(self.micros.load(Ordering::Relaxed));
        writeln!(text, "liebian_http_request_seconds_sum{{{labels}}} {sum}\nliebian_http_request_seconds_count{{{labels}}} {all}")
    }
}

fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A caller must not be able to make new time series at will.
#[must_use]
pub fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "HEAD" => "HEAD",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Meter, Traffic};

    #[test]
    fn workers_add_to_the_same_rows() {
        let traffic = Arc::new(Traffic::default());
        let (one, two) = (Meter::new(Arc::clone(&traffic)), Meter::new(Arc::clone(&traffic)));
        one.count(Some("/a/{id}".to_owned()), "GET", 200, Duration::from_micros(600));
        two.count(Some("/a/{id}".to_owned()), "GET", 200, Duration::from_secs(40));
        two.count(None, "other", 404, Duration::from_micros(1));
        let text = traffic.render();
        let labels = "route=\"/a/{id}\",method=\"GET\",status=\"200\"";
        for line in [
            format!("liebian_http_requests_total{{{labels}}} 2"),
            "liebian_http_requests_total{route=\"none\",method=\"other\",status=\"404\"} 1".to_owned(),
            format!("liebian_http_request_seconds_bucket{{{labels},le=\"0.0005\"}} 0"),
            format!("liebian_http_request_seconds_bucket{{{labels},le=\"0.001\"}} 1"),
            format!("liebian_http_request_seconds_bucket{{{labels},le=\"30\"}} 1"),
            format!("liebian_http_request_seconds_bucket{{{labels},le=\"+Inf\"}} 2"),
            format!("liebian_http_request_seconds_sum{{{labels}}} 40.0006"),
            format!("liebian_http_request_seconds_count{{{labels}}} 2"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
