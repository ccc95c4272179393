//! The composition root: everything a request may need, made once.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::Secrets;
use crate::http::health::Check;
use crate::http::limits::Limits;
use crate::http::{idempotency, telemetry};
use crate::identity::{Names, Revocations, revocation};
use crate::operator::{Role, keys};
use crate::store::{Store, StoreError, fetch_one};

/// How often what has run out is swept away.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// The application's state, shared by all workers.
#[derive(Debug)]
pub struct App {
    /// The settings.
    pub config: Config,
    /// Time outside the engine.
    pub clock: Clock,
    /// Token keys.
    pub secrets: Secrets,
    /// SQL.
    pub store: Store,
    // `pub hot: hot::Engine` and `pub projector: projector::Handle` go here.
    /// Masked names.
    pub names: Names,
    /// Sessions ended early.
    pub revocations: Revocations,
    /// Limits per address, device and user.
    pub limits: Limits,
    /// Renders the figures.
    pub metrics: PrometheusHandle,
    draining: watch::Sender<bool>,
}

/// Why the application could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The figures could not be set up.
    #[error(transparent)]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

impl App {
    /// Connects to what the settings name, brings the schema up to date and makes the first operator key.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn start(config: Config) -> Result<Data<Self>, StartError> {
        let store = Store::connect(&config.database_url).await?;
        store.migrate().await?;
        let app = Self {
            clock: Clock::default(),
            secrets: Secrets::new(config.secret.reveal()),
            names: Names::default(),
            revocations: Revocations::default(),
            limits: Limits::new(config.rate_limits),
            metrics: telemetry::start_counting()?,
            draining: watch::Sender::new(false),
            store,
            config,
        };
        app.make_first_key().await?;
        app.revocations.refresh(&app.store, app.clock.now()).await?;
        Ok(Data::from(Arc::new(app)))
    }

    /// A repeat finds the key by its hash. One that was revoked stays revoked.
    async fn make_first_key(&self) -> Result<(), StoreError> {
        let Some(secret) = &self.config.operator_key else { return Ok(()) };
        let mut tx = self.store.begin().await?;
        if keys::keep(&mut tx, secret.reveal(), "first key", Role::Admin, self.clock.now()).await?.is_some() {
            tracing::info!("the admin key of LIEBIAN_OPERATOR_KEY was made");
        }
        tx.commit().await
    }

    /// Whether each thing the server needs is there.
    pub async fn checks(&self) -> Vec<Check> {
        let sql = fetch_one!(&self.store, (i64,), "SELECT CAST(1 AS BIGINT)").map(|_one| ()).map_err(|why| why.to_string());
        let draining = if self.is_draining() { Err("the server is ending".to_owned()) } else { Ok(()) };
        // `redis` (with `config.accept_weak_redis`) and `projector` go here.
        vec![Check::new("sql", sql), Check::new("draining", draining)]
    }

    /// Tells every open stream and long wait to end.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Whether the server is ending.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Becomes true when the server ends: streams and long waits watch it.
    #[must_use]
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Starts what runs beside the requests; ends when the set is dropped.
    #[must_use]
    pub fn spawn_chores(self: &Arc<Self>) -> JoinSet<()> {
        let mut chores = JoinSet::new();
        chores.spawn(Arc::clone(self).refresh_revocations());
        chores.spawn(Arc::clone(self).sweep());
        chores
    }

    async fn refresh_revocations(self: Arc<Self>) {
        let mut every = tokio::time::interval(revocation::REFRESH);
        loop {
            every.tick().await;
            if let Err(why) = self.revocations.refresh(&self.store, self.clock.now()).await {
                tracing::warn!(%why, "ended sessions could not be read");
            }
        }
    }

    async fn sweep(self: Arc<Self>) {
        let mut every = tokio::time::interval(SWEEP_EVERY);
        loop {
            every.tick().await;
            self.limits.sweep();
            self.metrics.run_upkeep();
            if let Err(why) = idempotency::sweep(&self.store, self.clock.now()).await {
                tracing::warn!(%why, "old idempotency keys could not be swept");
            }
            if let Err(why) = self.revocations.sweep(&self.store, self.clock.now()).await {
                tracing::warn!(%why, "old session ends could not be swept");
            }
        }
    }
}
