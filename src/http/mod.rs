//! The edge: what arrives is parsed into types or refused with an RFC 9457 problem; nothing here decides a rule of a campaign.
//!
//! The order a request meets: [`envelope`] (request id, metrics, deadline, panics, CORS), [`limits`], the route, its extractors
//! ([`caller`], [`extract`], [`body`]), for keyed POSTs [`idempotency`], then the domain's handler.

pub mod answer;
pub mod body;
pub mod caller;
pub mod cors;
pub mod envelope;
pub mod extract;
pub mod health;
pub mod idempotency;
pub mod limits;
pub mod open_streams;
pub mod openapi;
pub mod page;
pub mod problem;
pub mod routes;
pub mod server;
pub mod sockets;
pub mod stream;
pub mod telemetry;
