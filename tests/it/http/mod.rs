//! The rules, as callers of the HTTP API meet them. A file per subject.

mod attacks;
mod campaigns;
mod cash_desk;
mod contract;
mod documents;
mod edges;
mod heads;
mod holds;
mod ladders;
mod limits;
mod live;
mod newcomers;
mod payments;
mod people;
mod races;
mod refusals;
mod repeats;
mod rooms;
mod running;
mod schemathesis;
mod shares;
mod slowness;
mod solo;
mod strangers;
mod words;
