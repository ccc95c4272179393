//! The server: bind, serve, end.

use std::io;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::KeepAlive;
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App as Web, Error, HttpResponse, HttpServer};
use tokio::signal::unix::{SignalKind, signal};
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::SwaggerUi;

use super::openapi::{self, Methods};
use super::{envelope, limits, routes, sockets};
use crate::app::App;

/// An idle connection is kept so long.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The head of a request must have arrived by then.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// After a closing answer, how long the client may take to hang up.
const HANG_UP_WITHIN: Duration = Duration::from_secs(2);
/// Requests at work get so long after SIGTERM; with what comes after it stays below ten seconds.
const DRAIN_SECONDS: u64 = 6;
/// Connections per worker; beyond it they wait in the socket's queue.
const CONNECTIONS: usize = 10_000;

/// Every route and middleware, for the server and for tests.
pub fn web_app(
    app: Data<App>,
) -> Web<impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<impl MessageBody>, Error = Error, InitError = ()>> {
    let (web_app, api) = Web::new().into_utoipa_app().openapi(openapi::blank()).configure(routes::all).split_for_parts();
    let mut api = openapi::complete(api);
    let methods = Data::new(Methods::of(&mut api));
    web_app
        .app_data(app)
        .app_data(methods)
        .service(SwaggerUi::new("/docs/{_:.*}").url("/openapi.json", api))
        .route("/docs", web::get().to(|| async { HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish() }))
        .default_service(web::route().to(nothing_here))
        .wrap(from_fn(limits::limit))
        .wrap(from_fn(envelope::envelope))
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
    let state = app.clone();
    sockets::allow_many();
    let server = HttpServer::new(move || web_app(state.clone()))
        .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
        .client_request_timeout(HEAD_WITHIN)
        .client_disconnect_timeout(HANG_UP_WITHIN)
        .max_connections(CONNECTIONS)
        .shutdown_timeout(DRAIN_SECONDS)
        .disable_signals()
        .on_connect(|connection, _| sockets::set_up(connection))
        .bind(listen)?
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
