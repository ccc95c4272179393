//! The rules, as callers of the HTTP API meet them. A file per subject.

mod campaigns;
mod cash_desk;
mod contract;
mod documents;
mod edges;
mod holds;
mod limits;
mod payments;
mod people;
mod races;
mod repeats;
mod rooms;
mod running;
mod schemathesis;
mod shares;
mod strangers;
mod words;
