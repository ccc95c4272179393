//! The composition root: everything a request may need, made once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::Data;
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::bargain;
use crate::bargain::projection::ChainProjection;
use crate::bargain::view::ChainView;
use crate::campaign::live::{self, Definitions, Live};
use crate::campaign::projection::CampaignProjection;
use crate::campaign::report::Reports;
use crate::campaign::view::CampaignView;
use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::Secrets;
use crate::group_buy;
use crate::group_buy::projection::RoomProjection;
use crate::group_buy::view::RoomView;
use crate::hot::lane::Gate;
use crate::hot::redis::CallError;
use crate::hot::{Engine, Place, Program};
use crate::http::health::Check;
use crate::http::limits::Limits;
use crate::http::open_streams::OpenStreams;
use crate::http::problem::Problem;
use crate::http::stream::LiveFeed;
use crate::http::traffic::Traffic;
use crate::http::{idempotency, telemetry};
use crate::id::{CampaignId, ChainId, RoomId, UserId};
use crate::identity::{Initial, Names, Revocations, revocation};
use crate::operator::events::http::Waits;
use crate::operator::projection::AuditProjection;
use crate::operator::{Role, keys};
use crate::order::budget::Call;
use crate::order::cashier::Cashier;
use crate::order::projection::OrderProjection;
use crate::order::provider::{Provider, Shop};
use crate::order::sandbox::Sandbox;
use crate::projector::{Projection, Projector, keeper};
use crate::referral;
use crate::referral::attribution::Programmes;
use crate::referral::invites::Invites;
use crate::referral::projection::ReferralProjection;
use crate::referral::sales::SaleProjection;
use crate::referral::teller::{Of, Teller};
use crate::referral::view::BondView;
use crate::share::http::flush_visits;
use crate::share::pages::{PageSource, Pages};
use crate::share::visits::{FLUSH_EVERY, Visits};
use crate::store::{Store, StoreError, execute, fetch_all, fetch_one, fetch_optional};
use crate::withdrawal::payer::Payer;
use crate::withdrawal::provider::PayoutProvider;

/// How often what has run out is swept away.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often cashier and teller look for work that nobody woke them for.
const WORK_EVERY: Duration = Duration::from_millis(250);
/// How often other processes' sandbox clock is looked at.
const CLOCK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether the next reconciliation is due.
const TURN_EVERY: Duration = Duration::from_secs(1);
/// How far a reconciliation by schedule goes back, in days.
const RECONCILED_DAYS: u16 = 3;
/// How often it is looked which referral campaigns are live.
const PROGRAMMES_EVERY: Duration = Duration::from_millis(900);
/// SQL this far behind is no longer ready.
const READY_LAG: Duration = Duration::from_secs(5);

/// The program of a campaign kind.
#[must_use]
pub fn program_of(kind: &str) -> Option<&'static Program> {
    match kind {
        "group_buy" => Some(&group_buy::PROGRAM),
        "bargain" => Some(&bargain::PROGRAM),
        "referral" => Some(&referral::PROGRAM),
        _ => None,
    }
}

/// The application's state, shared by all workers.
pub struct App {
    /// The settings.
    pub config: Config,
    /// Time outside the engine.
    pub clock: Arc<Clock>,
    /// Token keys.
    pub secrets: Arc<Secrets>,
    /// SQL.
    pub store: Store,
    /// Hot state.
    pub engine: Arc<Engine>,
    /// The log in SQL.
    pub projector: Arc<Projector>,
    /// Rows as they change, for live streams and waiting readers.
    pub feed: Arc<LiveFeed>,
    /// The open streams.
    pub streams: OpenStreams,
    checked: tokio::sync::Mutex<Option<(Instant, Vec<Check>)>>,
    /// Money's way in and out.
    pub cashier: Arc<Cashier>,
    /// Tells referral campaigns how the sales stand that they earn by.
    pub teller: Arc<Teller>,
    /// The referral campaigns that are live.
    pub programmes: Programmes,
    /// Earned money's way out.
    pub payer: Arc<Payer>,
    /// The sandbox provider, if it is on.
    pub sandbox: Option<Sandbox>,
    /// Published definitions.
    pub definitions: Definitions,
    /// Masked names.
    pub names: Names,
    /// Invite codes.
    pub invites: Invites,
    /// Sessions ended early.
    pub revocations: Revocations,
    /// Pages of share links, for a moment.
    pub pages: Pages,
    /// Visits of share links, until they are written.
    pub visits: Visits,
    /// Limits per address, subnet, device and user.
    pub limits: Arc<Limits>,
    /// Calls that wait for events.
    pub waits: Waits,
    /// What reports share.
    pub reports: Reports,
    /// Requests, counted.
    pub traffic: Arc<Traffic>,
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
    /// Redis' address does not read.
    #[error(transparent)]
    Redis(#[from] CallError),
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
        let clock = Arc::new(Clock::default());
        let secrets = Arc::new(Secrets::new(config.secret.reveal()));
        let sandbox = config.sandbox.then(|| Sandbox::new(store.clone(), Arc::clone(&secrets), Arc::clone(&clock)));
        let provider: Arc<dyn Provider> = match &sandbox {
            Some(sandbox) => Arc::new(sandbox.clone()),
            None => Arc::new(Shop),
        };
        let (engine, projector) = engine_and_projector(&config, &store, &clock, provider.name())?;
        let effort = config.effort;
        let payouts: Arc<dyn PayoutProvider> = match &sandbox {
            Some(sandbox) => Arc::new(sandbox.clone()),
            None => Arc::new(Shop),
        };
        let payer = Payer::new(store.clone(), Arc::clone(&clock), payouts, effort);
        let cashier = Cashier::new(store.clone(), Arc::clone(&engine), Arc::clone(&projector), Arc::clone(&clock), (provider, effort));
        let (told, at) = (Arc::clone(&projector), Arc::clone(&clock));
        let teller = Teller::new(store.clone(), Arc::clone(&engine), told, at, effort.refund_tries.into());
        let app = Self {
            teller: Arc::new(teller),
            programmes: Programmes::default(),
            names: Names::default(),
            definitions: Definitions::default(),
            invites: Invites::default(),
            revocations: Revocations::default(),
            pages: Pages::default(),
            visits: Visits::default(),
            limits: Arc::new(Limits::new(config.rate_limits, config.trusted_proxies.clone())),
            waits: Waits::default(),
            reports: Reports::default(),
            traffic: Arc::default(),
            metrics: telemetry::start_counting()?,
            draining: watch::Sender::new(false),
            feed: Arc::new(LiveFeed::new(Arc::clone(&engine))),
            streams: OpenStreams::default(),
            checked: tokio::sync::Mutex::default(),
            cashier: Arc::new(cashier),
            payer: Arc::new(payer),
            clock,
            secrets,
            store,
            engine,
            projector,
            sandbox,
            config,
        };
        app.tell_weaknesses().await;
        app.read_clock().await?;
        app.make_first_key().await?;
        app.revocations.refresh(&app.store, app.clock.now()).await?;
        app.programmes.refresh(&app).await?;
        Ok(Data::from(Arc::new(app)))
    }

    /// Says loudly where Redis promises less than the engine does.
    async fn tell_weaknesses(&self) {
        match self.engine.redis().weaknesses().await {
            Ok(weak) if weak.is_empty() => {}
            Ok(weak) if self.config.accept_weak_redis => tracing::warn!(weak = weak.join(", "), "a weaker Redis was accepted"),
            Ok(weak) => tracing::error!(weak = weak.join(", "), "Redis is set up weaker than promised: answered ops may be lost"),
            Err(why) => tracing::warn!(%why, "Redis does not say how it is set up"),
        }
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

    /// Whether each thing the server needs is there. One caller asks at a time; those who came before it began share what it finds.
    pub async fn checks(&self) -> Vec<Check> {
        let arrived = Instant::now();
        let mut last = self.checked.lock().await;
        let (began, mut checks) = match last.take().filter(|(began, _)| *began >= arrived) {
            Some(kept) => kept,
            None => (Instant::now(), self.ask().await),
        };
        *last = Some((began, checks.clone()));
        drop(last);
        let draining = if self.is_draining() { Err("the server is ending".to_owned()) } else { Ok(()) };
        checks.push(Check::new("draining", draining));
        checks
    }

    async fn ask(&self) -> Vec<Check> {
        let sql = fetch_one!(&self.store, (i64,), "SELECT CAST(1 AS BIGINT)").map(|_one| ()).map_err(|why| why.to_string());
        let redis = match self.engine.redis().weaknesses().await {
            Ok(weak) if weak.is_empty() || self.config.accept_weak_redis => Ok(()),
            Ok(weak) => Err(format!("acknowledged ops may be lost: {}", weak.join(", "))),
            // Some hosts deny CONFIG; who runs there has accepted not to know.
            Err(_denied) if self.config.accept_weak_redis && self.engine.redis().answers().await => Ok(()),
            Err(why) => Err(why.to_string()),
        };
        let lag = self.lag();
        let projector = if lag > READY_LAG { Err(format!("SQL is {} s behind", lag.as_secs())) } else { Ok(()) };
        let provider = if sql.is_ok() { self.provider_check().await } else { Check::new("provider", Ok(())) };
        vec![Check::new("sql", sql), Check::new("redis", redis), Check::new("projector", projector), provider]
    }

    /// Told only: a provider that fails is no reason to send shoppers elsewhere.
    async fn provider_check(&self) -> Check {
        let mut pausing = Vec::new();
        for call in Call::ALL {
            let left = self.cashier.budget.left(call, self.clock.now()).await;
            if let Some(until) = left.ok().and_then(|left| left.paused_until) {
                pausing.push(format!("{} calls pause until {}", call.word(), until.rfc3339()));
            }
        }
        Check { name: "provider", ok: true, detail: pausing.join(", ") }
    }

    /// Whether every campaign that serves is open in this process.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn opened(&self) -> Result<bool, StoreError> {
        const SERVING: &str = "SELECT campaign_id FROM cursors WHERE state = 'serving' LIMIT 100000";
        let serving = fetch_all!(&self.store, (CampaignId,), SERVING)?;
        Ok(serving.iter().all(|(campaign,)| self.engine.knows(*campaign) && matches!(self.engine.gate(*campaign), Gate::Open(_))))
    }

    /// How long the oldest answered op of this process waits for SQL.
    fn lag(&self) -> Duration {
        self.engine.campaigns().into_iter().map(|campaign| self.engine.lag(campaign)).max().unwrap_or_default()
    }

    /// The figures in Prometheus' text format.
    #[must_use]
    pub fn figures(&self) -> String {
        metrics::gauge!("liebian_projection_lag_seconds").set(self.lag().as_secs_f64());
        metrics::gauge!("liebian_campaigns").set(f64::from(u32::try_from(self.engine.campaigns().len()).unwrap_or(u32::MAX)));
        self.traffic.render() + &self.metrics.render()
    }

    /// Takes over the sandbox clock that SQL keeps, so that it survives restarts and holds for all processes.
    async fn read_clock(&self) -> Result<(), StoreError> {
        const READ: &str = "SELECT value FROM settings WHERE name = 'clock_offset_ms'";
        if self.sandbox.is_some()
            && let Some((text,)) = fetch_optional!(&self.store, (String,), READ)?
        {
            let before = self.clock.offset_ms();
            self.clock.set_offset_ms(text.parse().unwrap_or_default());
            if self.clock.offset_ms() != before {
                self.engine.poke();
            }
        }
        Ok(())
    }

    /// Moves the sandbox clock forward and lets what is due then happen.
    ///
    /// # Errors
    /// Trouble of SQL or Redis.
    pub async fn move_clock(&self, seconds: i64) -> Result<(), Problem> {
        // Added in SQL: two testers who move it at once both count.
        const ADD: &str = "INSERT INTO settings (name, value) VALUES ('clock_offset_ms', CAST($1 AS TEXT)) \
                           ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(settings.value AS BIGINT) + $1 AS TEXT)";
        execute!(&self.store, ADD, seconds.saturating_mul(1000))?;
        self.read_clock().await?;
        join_all(self.engine.campaigns().into_iter().map(async |campaign| {
            // A campaign that is being recovered ticks when it opens.
            if let Ok(place) = crate::campaign::ops::tick(&self.engine, campaign).await {
                let _late = self.projector.settled(campaign, place).await;
            }
        }))
        .await;
        self.cashier.wake.notify_one();
        self.teller.wake.notify_one();
        Ok(())
    }

    /// Waits, for a moment at most, until SQL has what was answered so far and what this shopper earns by it.
    pub async fn earnings_caught_up(&self, earner: UserId) {
        self.projector.all_caught_up().await;
        self.teller.caught_up(Of::Earner(earner)).await;
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
        chores.spawn(Arc::clone(self).work_for_orders());
        chores.spawn(Arc::clone(self).tell_sales());
        chores.spawn(Arc::clone(self).follow_programmes());
        chores.spawn(Arc::clone(self).work_for_withdrawals());
        if self.config.effort.reconcile_seconds > 0 {
            chores.spawn(Arc::clone(self).reconcile_in_turn());
        }
        chores.spawn(Arc::clone(&self.feed).run());
        if self.sandbox.is_some() {
            chores.spawn(Arc::clone(self).follow_clock());
        }
        chores
    }

    /// Starts what brings into SQL what this process knows: the keeper, and the writer of visits. Told to stop, they write what is left and end.
    #[must_use]
    pub fn spawn_writers(self: &Arc<Self>) -> (watch::Sender<bool>, JoinSet<()>) {
        let (stop, stopped) = watch::channel(false);
        let mut writers = JoinSet::new();
        if let Some(news) = self.engine.take_news() {
            writers.spawn(keeper::run(Arc::clone(&self.projector), news, stopped.clone()));
        }
        writers.spawn(Arc::clone(self).write_visits(stopped));
        (stop, writers)
    }

    async fn write_visits(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut every = tokio::time::interval(FLUSH_EVERY);
        loop {
            let ends = tokio::select! {
                _ = every.tick() => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            flush_visits(&self).await;
            if ends {
                return;
            }
        }
    }

    async fn follow_clock(self: Arc<Self>) {
        let mut every = tokio::time::interval(CLOCK_EVERY);
        loop {
            every.tick().await;
            if let Err(why) = self.read_clock().await {
                tracing::warn!(%why, "the sandbox clock could not be read");
            }
        }
    }

    /// Payments, closings and refunds that are due, and the sandbox's late notifications.
    async fn work_for_orders(self: Arc<Self>) {
        loop {
            rest("orders", &self.cashier.wake, self.order_round().await).await;
        }
    }

    /// Sales that referral campaigns are to hear of.
    async fn tell_sales(self: Arc<Self>) {
        loop {
            rest("sales", &self.teller.wake, self.teller.round().await).await;
        }
    }

    async fn follow_programmes(self: Arc<Self>) {
        let mut every = tokio::time::interval(PROGRAMMES_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            if let Err(why) = self.programmes.refresh(&self).await {
                tracing::warn!(%why, "nobody knows which referral campaigns are live");
            }
        }
    }

    /// Withdrawals that are due.
    async fn work_for_withdrawals(self: Arc<Self>) {
        loop {
            rest("withdrawals", &self.payer.wake, self.payer.round().await).await;
        }
    }

    /// Compares the books by schedule, one process at a time.
    async fn reconcile_in_turn(self: Arc<Self>) {
        let mut every = tokio::time::interval(TURN_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            match self.cashier.takes_turn_to_reconcile(self.config.effort.reconcile_seconds).await {
                Ok(true) => match self.cashier.reconcile(RECONCILED_DAYS).await {
                    Ok(report) => tracing::info!(ok = report.ok, payments = report.payments, refunds = report.refunds, "reconciled"),
                    Err(why) => tracing::warn!(%why, "the books could not be compared"),
                },
                Ok(false) => {}
                Err(why) => tracing::warn!(%why, "nobody knows when the books are to be compared"),
            }
        }
    }

    async fn order_round(&self) -> Result<bool, StoreError> {
        let mut worked = self.cashier.round().await?;
        if let Some(sandbox) = &self.sandbox {
            for (id, notification) in sandbox.due().await? {
                worked = true;
                let taken = crate::order::http::deliver(self, &notification).await;
                sandbox.delivered(&id, taken.is_ok()).await?;
            }
        }
        Ok(worked)
    }

    async fn refresh_revocations(self: Arc<Self>) {
        let mut every = tokio::time::interval(revocation::REFRESH);
        loop {
            every.tick().await;
            match self.revocations.refresh(&self.store, self.clock.now()).await {
                // Whoever was erased elsewhere has no name here any more.
                Ok(erased) => erased.into_iter().for_each(|user| self.names.set(user, Initial(None))),
                Err(why) => tracing::warn!(%why, "ended sessions could not be read"),
            }
        }
    }

    async fn sweep(self: Arc<Self>) {
        let mut every = tokio::time::interval(SWEEP_EVERY);
        loop {
            every.tick().await;
            self.metrics.run_upkeep();
            if let Err(why) = idempotency::sweep(&self.store, self.clock.now()).await {
                tracing::warn!(%why, "old idempotency keys could not be swept");
            }
            match crate::order::books::waiting(&self.store).await {
                Ok(waiting) => waiting.count(),
                Err(why) => tracing::warn!(%why, "waiting work could not be counted"),
            }
            if let Err(why) = crate::referral::work::count_waiting(&self.store).await {
                tracing::warn!(%why, "waiting sales could not be counted");
            }
            if let Err(why) = crate::withdrawal::records::count(&self.store).await {
                tracing::warn!(%why, "withdrawals could not be counted");
            }
            if let Err(why) = self.revocations.sweep(&self.store, self.clock.now()).await {
                tracing::warn!(%why, "old session ends could not be swept");
            }
        }
    }
}

/// After a round of work: on at once if there was any, else after a while or when somebody wakes.
async fn rest(on: &str, wake: &Notify, round: Result<bool, StoreError>) {
    match round {
        Ok(true) => tokio::task::yield_now().await,
        Ok(false) => {
            let _woken = tokio::time::timeout(WORK_EVERY, wake.notified()).await;
        }
        Err(why) => {
            tracing::warn!(%why, "work on {on} waits");
            tokio::time::sleep(WORK_EVERY).await;
        }
    }
}

/// The engine and the projector with every domain's projection.
///
/// # Errors
/// When Redis' address does not read.
pub fn engine_and_projector(
    config: &Config,
    store: &Store,
    clock: &Arc<Clock>,
    provider: &'static str,
) -> Result<(Arc<Engine>, Arc<Projector>), StartError> {
    let engine = Arc::new(Engine::new(&config.redis_url, Arc::clone(clock))?);
    let projections: Vec<Box<dyn Projection>> = vec![
        Box::new(CampaignProjection),
        Box::new(RoomProjection),
        Box::new(ChainProjection),
        Box::new(ReferralProjection),
        Box::new(OrderProjection { provider }),
        // After orders: what these keep of their money is theirs to say.
        Box::new(SaleProjection),
        Box::new(AuditProjection),
    ];
    let projector = Projector::new(store.clone(), Arc::clone(&engine), Arc::clone(clock), projections, program_of);
    Ok((engine, Arc::new(projector)))
}

impl App {
    /// A shopper's own code and bond in a campaign, if it is a referral programme.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn yours(&self, live: &Live, user: UserId) -> Result<(Option<String>, Option<BondView>), Problem> {
        referral::http::own(self, live, user).await
    }
}

impl PageSource for App {
    async fn campaign(&self, id: CampaignId) -> Result<Option<CampaignView>, Problem> {
        Ok(live::read(self, id, None).await?.map(|live| live.view(None)))
    }

    async fn room(&self, id: RoomId) -> Result<Option<RoomView>, Problem> {
        match group_buy::http::find(self, id).await? {
            Some(room) => group_buy::http::view(self, id, &room, None).await.map(Some),
            None => Ok(None),
        }
    }

    async fn chain(&self, id: ChainId) -> Result<Option<ChainView>, Problem> {
        match bargain::http::find(self, id).await? {
            Some(chain) => bargain::http::view(self, id, &chain, None).await.map(Some),
            None => Ok(None),
        }
    }

    async fn joinable(&self, id: CampaignId, most: usize) -> Result<Vec<RoomView>, Problem> {
        group_buy::http::joinable_now(self, id, most).await
    }

    fn head(&self, id: CampaignId) -> Option<Place> {
        self.engine.head(id)
    }

    async fn masked_name(&self, id: UserId) -> Result<String, Problem> {
        let mut names = self.names.of(&self.store, &[id]).await?;
        Ok(names.remove(&id).unwrap_or_default())
    }
}
