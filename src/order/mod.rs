//! Orders: their life is decided by the domain that placed them; this is what all have.

pub mod view;
