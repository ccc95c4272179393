//! Campaigns.

pub mod ops;
pub mod projection;
pub mod rules;
