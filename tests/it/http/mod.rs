//! The rules, as callers of the HTTP API meet them. A file per subject.

mod holds;
mod limits;
mod rooms;
mod running;
