//! The log of all campaigns as one feed: what happened, in a stable order, told at least once.
//!
//! Campaigns come into SQL each for itself, so no number that an entry gets when it is written could order them all: one that commits later may
//! have a smaller number, and a reader who is past it would never see it. So the order is made afterwards, of what is committed
//! ([`spans`]): a span is a stretch of one campaign's log that SQL holds, spans get positions one after the other, and a span that was written
//! never changes. Within a span the order is the campaign's own. Nobody writes spans but readers: a feed that is not read costs nothing.
//!
//! A cursor names a span, the entry in it and how many of that entry's events are told. Whoever keeps the cursor of the last event that it has
//! dealt with misses nothing, and may be told some events again: their `id` is the same then.

pub mod http;
pub mod names;
pub mod spans;
pub mod told;
