//! All routes on one screen.

use utoipa_actix_web::service_config::ServiceConfig;

use super::health;
use crate::{identity, operator};

/// Every route of every domain.
pub fn all(cfg: &mut ServiceConfig) {
    cfg.configure(health::routes).configure(identity::http::routes).configure(operator::http::routes);
}
