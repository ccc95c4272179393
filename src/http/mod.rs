//! The edge: what arrives is parsed into types or refused with an RFC 9457 problem; nothing here decides a rule of a campaign.
//!
//! The order a request meets: its [`connection`] (deadlines, and answers to what is no request), [`envelope`] (id, [`traffic`], panics,
//! [`cors`], [`limits`]), the route, its extractors ([`caller`], [`extract`], [`body`]), for keyed POSTs [`idempotency`], then the domain's
//! handler.

pub mod answer;
pub mod body;
pub mod bounded;
pub mod caller;
pub mod connection;
pub mod cors;
pub mod csv;
pub mod docs;
pub mod envelope;
pub mod extract;
pub mod health;
pub mod idempotency;
pub mod identify;
pub mod limits;
pub mod open_streams;
pub mod openapi;
pub mod page;
pub mod problem;
pub mod request_id;
pub mod routes;
pub mod server;
pub mod sockets;
pub mod stream;
pub mod telemetry;
pub mod traffic;
