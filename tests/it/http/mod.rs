//! The rules, as callers of the HTTP API meet them. A file per subject.

mod attacks;
mod campaigns;
mod cash_desk;
mod contract;
mod documents;
mod edges;
mod erasure;
mod heads;
mod holds;
mod limits;
mod live;
mod orders;
mod payments;
mod people;
mod races;
mod reconciliation;
mod refunds;
mod refusals;
mod repeats;
mod rooms;
mod running;
mod schemathesis;
mod shares;
mod slowness;
mod strangers;
mod words;
