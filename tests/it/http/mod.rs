//! The rules, as callers of the HTTP API meet them. A file per subject.

mod attacks;
mod campaigns;
mod cash_desk;
mod contract;
mod desk;
mod documents;
mod edges;
mod feed;
mod heads;
mod holds;
mod limits;
mod live;
mod payments;
mod people;
mod races;
mod refusals;
mod repeats;
mod roles;
mod rooms;
mod running;
mod schemathesis;
mod shares;
mod slowness;
mod strangers;
mod switches;
mod words;
