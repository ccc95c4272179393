//! Campaigns.

pub mod ops;
pub mod rules;
