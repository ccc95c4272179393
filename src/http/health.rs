//! Alive, ready, and in figures.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpResponse, Responder, get};
use serde::Serialize;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::app::App;

/// Whether the server can do its work.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Readiness {
    /// All checks are fine.
    pub ready: bool,
    /// Each check.
    pub checks: Vec<Check>,
}

/// One thing the server needs.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ReadinessCheck)]
pub struct Check {
    /// `sql`, `redis`, `projector`, `draining`, `provider`.
    pub name: &'static str,
    /// It is as it should be.
    pub ok: bool,
    /// What is wrong, or worth knowing, else empty.
    pub detail: String,
}

impl Check {
    /// A check by its result.
    #[must_use]
    pub fn new(name: &'static str, result: Result<(), String>) -> Self {
        Self { name, ok: result.is_ok(), detail: result.err().unwrap_or_default() }
    }
}

/// The routes.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(live).service(ready).service(figures);
}

/// The process answers.
#[utoipa::path(tag = "health", operation_id = "live", responses((status = 200, description = "It does", body = String, content_type = "text/plain")))]
#[get("/health/live")]
async fn live() -> impl Responder {
    "live\n"
}

/// The server can do its work.
#[utoipa::path(tag = "health", operation_id = "ready",
    responses((status = 200, description = "Ready", body = Readiness), (status = 503, description = "Not ready", body = Readiness)))]
#[get("/health/ready")]
async fn ready(app: Data<App>) -> impl Responder {
    let checks = app.checks().await;
    let readiness = Readiness { ready: checks.iter().all(|check| check.ok), checks };
    let mut response = if readiness.ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    if !readiness.ready {
        response.insert_header((header::RETRY_AFTER, "1"));
    }
    response.insert_header((header::CACHE_CONTROL, "no-store")).json(readiness)
}

/// Figures for Prometheus.
#[utoipa::path(tag = "health", operation_id = "figures",
    responses((status = 200, description = "Prometheus text format", body = String, content_type = "text/plain")))]
#[get("/metrics")]
async fn figures(app: Data<App>) -> impl Responder {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(app.figures())
}
