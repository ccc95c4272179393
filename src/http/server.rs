//! The server: bind, serve, end.

use std::io;
use std::num::NonZeroUsize;

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web::{self, Data};
use actix_web::{App as Web, Error, HttpResponse};
use tokio::signal::unix::{SignalKind, signal};
use utoipa::openapi::OpenApi;
use utoipa_actix_web::AppExt;

use super::connection::crowd::Crowd;
use super::connection::service::{self, Terms};
use super::envelope::Envelope;
use super::openapi::{self, Methods};
use super::{docs, routes, sockets};
use crate::app::App;
use crate::config::RateLimits;

/// Requests at work get so long after SIGTERM; with what comes after it stays below ten seconds.
const DRAIN_SECONDS: u64 = 6;
/// Connections per worker; beyond it they wait in the socket's queue.
const CONNECTIONS: usize = 10_000;
/// Open files that are not callers' connections: SQL, Redis, logs, and some to spare.
const OWN_FILES: u64 = 500;

/// The OpenAPI document that the server serves.
#[must_use]
pub fn document() -> OpenApi {
    let (_, api) = Web::new().into_utoipa_app().openapi(openapi::blank()).configure(routes::all).split_for_parts();
    openapi::complete(api)
}

/// Every route and middleware, for the server and for tests.
pub fn web_app(
    app: Data<App>,
) -> Web<impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<impl MessageBody>, Error = Error, InitError = ()>> {
    let (web_app, api) = Web::new().into_utoipa_app().openapi(openapi::blank()).configure(routes::all).split_for_parts();
    let mut api = openapi::complete(api);
    let methods = Data::new(Methods::of(&mut api));
    let envelope = Envelope::of(&app);
    web_app.app_data(app).app_data(methods).configure(docs::routes(api)).default_service(web::route().to(nothing_here)).wrap(envelope)
}

async fn nothing_here(request: actix_web::HttpRequest, methods: Data<Methods>) -> HttpResponse {
    actix_web::ResponseError::error_response(&methods.problem(request.path()))
}

/// Serves until SIGTERM or SIGINT, then lets what is at work finish. `ready` is called when the port is bound.
///
/// # Errors
/// When the address cannot be bound, or the server breaks.
pub async fn serve(app: Data<App>, ready: impl FnOnce()) -> io::Result<()> {
    let listen = app.config.listen;
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let terms = terms(&app, workers);
    let (per_worker, state) = (terms.per_worker, app.clone());
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(per_worker)
        .shutdown_timeout(DRAIN_SECONDS)
        .disable_signals()
        .bind("http", listen, move || service::service(&terms, web_app(state.clone())))?
        .run();
    let handle = server.handle();
    let mut running = tokio::spawn(server);
    tracing::info!(%listen, "serving");
    ready();
    tokio::select! {
        ended = &mut running => return ended.map_err(io::Error::other)?,
        () = told_to_end() => {}
    }
    tracing::info!("ending: finishing what is at work");
    app.drain();
    handle.stop(true).await;
    running.await.map_err(io::Error::other)?
}

fn terms(app: &App, workers: usize) -> Terms {
    let (patience, trusted) = (app.config.patience, app.config.trusted_proxies.clone());
    let bound = (app.config.rate_limits == RateLimits::Default).then_some(patience.connections_per_address);
    let places = usize::try_from(sockets::allow_many().saturating_sub(OWN_FILES)).unwrap_or(usize::MAX);
    // At least a few, should even the limit of open files be a joke: then accepting fails, and is tried again.
    let per_worker = (places / workers).clamp(50, CONNECTIONS);
    tracing::info!(workers, per_worker, "places for connections");
    Terms { rules: patience.into(), crowd: Crowd::new(bound, trusted), per_worker, draining: app.draining() }
}

/// Returns at SIGTERM or SIGINT.
async fn told_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        // Without handlers the signals end the process at once, which loses nothing that was answered.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
