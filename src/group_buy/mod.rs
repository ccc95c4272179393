//! Group-buy: rooms that fill (拼团).

pub mod view;
