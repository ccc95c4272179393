//! Connections served: actix-http with its own timers off, around it what this module adds.

use std::fmt;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::MessageBody;
use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Request, Response};
use actix_service::{IntoServiceFactory, apply_fn_factory, map_config};
use actix_web::Error;
use actix_web::dev::{AppConfig, Service, ServiceFactory};
use actix_web::rt::net::TcpStream;
use tokio::sync::watch::Receiver;

use super::Connection;
use super::crowd::Crowd;
use super::stream::Stream;
use super::watch::{Rules, Worker};
use crate::code::Code;
use crate::http::problem::Problem;
use crate::http::request_id::{REQUEST_ID, RequestId};
use crate::http::sockets;

/// After a closing answer, how long the client may take to hang up.
const HANG_UP_WITHIN: Duration = Duration::from_secs(2);

/// What the connections of a server have in common.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How long callers are waited for.
    pub rules: Rules,
    /// Who is here.
    pub crowd: Arc<Crowd>,
    /// Connections that a worker may hold.
    pub per_worker: usize,
    /// Becomes true when the server ends.
    pub draining: Receiver<bool>,
}

/// A worker's service for the connections it is given. Call it on the worker.
pub fn service<I, S, B>(
    terms: &Terms,
    app: I,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<I, S, B>
where
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Error = Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>>,
    S::Service: 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    let worker = Worker::start(terms.rules, terms.per_worker, terms.draining.clone());
    let crowd = Arc::clone(&terms.crowd);
    let http = HttpService::build()
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(HANG_UP_WITHIN)
        .on_connect_ext(|stream: &Stream, data| {
            data.insert(stream.connection());
        })
        .h1(map_config(app, |()| AppConfig::default()));
    apply_fn_factory(http, move |socket: TcpStream, http: &_| {
        let peer = socket.peer_addr().ok();
        let admitted = if let Some(ticket) = crowd.enter(peer) {
            sockets::set_up(&socket);
            let connection = Connection::new(socket, &worker, ticket);
            let dispatcher = Service::<(Stream, _)>::call(http, (Stream::of(&connection), peer));
            Some((connection, dispatcher))
        } else {
            turn_away(socket);
            None
        };
        async move {
            if let Some((connection, dispatcher)) = admitted {
                connection.live(dispatcher).await;
            }
            Ok(())
        }
    })
}

/// A word, if the socket takes it at once, and no waiting: whoever holds too many connections gets no further place to wait in.
fn turn_away(socket: TcpStream) {
    metrics::counter!("liebian_connections_ended_total", "why" => "crowded").increment(1);
    let problem = Problem::new(Code::RateLimited).detail("Too many connections from this address");
    let answer = REQUEST_ID.sync_scope(RequestId::fresh(), || problem.on_the_wire());
    let Ok(mut socket) = socket.into_std() else { return };
    let said = socket.write_all(&answer).and_then(|()| socket.shutdown(Shutdown::Write));
    // Unread bytes would make the kernel take the answer back.
    let _best_effort = said.and_then(|()| socket.read(&mut [0; 4096]));
}
