//! How fast the log comes into SQL: a backlog brought in at full speed, and the rate of joins at which SQL keeps up.
//!
//! In this process, without HTTP: the ops go through the lanes of an engine of its own, and the projector is the server's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use liebian::campaign::ops::publish;
use liebian::campaign::projection::CampaignProjection;
use liebian::campaign::rules::{Compiled, Item, Limits, Rules, Tier};
use liebian::clock::Clock;
use liebian::group_buy::ops::{Join, Shopper, open_room};
use liebian::group_buy::projection::RoomProjection;
use liebian::hot::Engine;
use liebian::id::{CampaignId, DeviceId, UserId};
use liebian::order::projection::OrderProjection;
use liebian::projector::cursor::Cursor;
use liebian::projector::recovery::Mode;
use liebian::projector::{Projector, Tail, keeper};
use liebian::store::{Store, fetch_one};

use crate::Outcome;

/// What is sold.
pub const SKU: &str = "cherry";
/// So far SQL may be behind before the sustained run holds back.
const BEHIND: Duration = Duration::from_secs(2);

/// Engine, projector and database of one run.
pub struct Rig {
    store: Store,
    engine: Arc<Engine>,
    projector: Arc<Projector>,
    clock: Arc<Clock>,
    next_user: AtomicU64,
}

/// What a run found.
#[derive(Debug)]
pub struct Projected {
    /// Seats taken: rooms opened and joined.
    pub seats: u64,
    /// Rows that SQL holds of them at the end: log entries, orders, rooms.
    pub rows: u64,
    /// What it took.
    pub seconds: f64,
}

impl Projected {
    /// Seats a second.
    pub fn seats_per_s(&self) -> f64 {
        self.seats as f64 / self.seconds
    }

    /// Rows a second.
    pub fn rows_per_s(&self) -> f64 {
        self.rows as f64 / self.seconds
    }
}

impl Rig {
    /// On a Redis and a database that nobody else uses.
    pub async fn open(redis_url: &str, database_url: &str) -> Outcome<Self> {
        let store = Store::connect(database_url).await?;
        store.migrate().await?;
        let clock = Arc::new(Clock::default());
        let engine = Arc::new(Engine::new(redis_url, Arc::clone(&clock))?);
        let projector = Projector::new(
            store.clone(),
            Arc::clone(&engine),
            Arc::clone(&clock),
            vec![Box::new(CampaignProjection), Box::new(RoomProjection), Box::new(OrderProjection { provider: "sandbox" })],
            liebian::app::program_of,
        );
        Ok(Self { store, engine, projector: Arc::new(projector), clock, next_user: AtomicU64::new(0) })
    }

    /// A campaign that is being served.
    pub async fn campaign(&self, tag: &str, size: i64) -> Outcome<CampaignId> {
        let campaign = CampaignId::from_hot(tag)?;
        let now = self.clock.now();
        Cursor::create(&self.store, campaign, "group_buy", now).await?;
        self.projector.recover(campaign, Mode::Careful, "bench").await?;
        let rules = Rules {
            loss_budget: None,
            least_loss: 0,
            version: 1,
            starts_at: 0,
            ends_at: now.plus_seconds(86_400).get(),
            room_ttl: 3_600_000,
            payment_ttl: 3_600_000,
            list_rooms: true,
            accept_from: None,
            newcomers_only: false,
            limits: Limits {
                quantity_per_order: 1,
                orders_per_user: 1,
                rooms_opened_per_user: 1,
                rooms_joined_per_user: 1,
                unpaid_per_user: 1,
                users_per_device: 1,
            },
            items: BTreeMap::from([(
                SKU.to_owned(),
                Item { list: 9900, tiers: vec![Tier { size, price: 4950 }], leader_price: None, solo_price: None, reserve_room: false },
            )]),
        };
        publish(&self.engine, campaign, &Compiled::GroupBuy(rules), &[(SKU.to_owned(), 1_000_000_000)], None)
            .await?
            .decision
            .map_err(|code| format!("{code:?}"))?;
        Ok(campaign)
    }

    fn shopper(&self) -> Shopper {
        // Spread over the range as chance would: an odd factor permutes the numbers, and the upper bits of small ones stay apart.
        let n = self.next_user.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let text = format!("{:014X}", n >> 8);
        Shopper {
            user: UserId::from_hot(&text).expect("digits"),
            device: DeviceId::from_hot(&text).expect("digits"),
            share: None,
            referral: None,
        }
    }

    /// One room with all its seats.
    async fn room(&self, campaign: CampaignId, size: i64) -> Outcome<()> {
        let opened = open_room(&self.engine, campaign, self.shopper(), (SKU, 1), None).await?;
        let room = opened.decision.map_err(|refusal| format!("{:?}", refusal.code))?.room_id;
        for _ in 1..size {
            let seat = Join::new(&self.engine, room, self.shopper(), 1, None).ask(&self.engine, false).await?;
            seat.decision.map_err(|refusal| format!("{:?}", refusal.code))?;
        }
        Ok(())
    }

    /// Fills campaigns' logs while SQL stands still, then measures how long SQL takes to have them.
    pub async fn backlog(&self, campaigns: &[CampaignId], rooms: u64, size: i64) -> Outcome<Projected> {
        self.fill(campaigns, rooms, size).await?;
        let before = self.rows().await?;
        let began = Instant::now();
        for campaign in campaigns {
            let cursor = Cursor::read(&self.store, *campaign).await?.ok_or("no cursor")?;
            Tail::new(*campaign, cursor).run_to_end(&self.projector).await?;
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok(Projected { seats: rooms * size as u64, rows: self.rows().await? - before, seconds })
    }

    /// Takes seats in turn in all campaigns.
    pub async fn fill(&self, campaigns: &[CampaignId], rooms: u64, size: i64) -> Outcome<()> {
        let filled = futures_util::stream::iter((0..rooms).zip(campaigns.iter().cycle()))
            .map(|(_, campaign)| self.room(*campaign, size))
            .buffer_unordered(400);
        let all: Vec<_> = filled.collect().await;
        all.into_iter().collect()
    }

    /// Takes seats for so long as SQL keeps up, with the keeper at work beside it.
    pub async fn sustained(&self, campaign: CampaignId, size: i64, time: Duration) -> Outcome<Projected> {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let news = self.engine.take_news().ok_or("the keeper runs already")?;
        let keeper = tokio::spawn(keeper::run(Arc::clone(&self.projector), news, stopped));
        let (before, began, seats) = (self.rows().await?, Instant::now(), AtomicU64::new(0));
        let client = || async {
            while began.elapsed() < time {
                if self.engine.lag(campaign) > BEHIND {
                    self.projector.caught_up(campaign).await;
                }
                self.room(campaign, size).await?;
                seats.fetch_add(size as u64, Ordering::Relaxed);
            }
            Outcome::Ok(())
        };
        let ended: Vec<_> = futures_util::future::join_all((0..256).map(|_| client())).await;
        ended.into_iter().collect::<Outcome<Vec<()>>>()?;
        self.projector.caught_up(campaign).await;
        let seconds = began.elapsed().as_secs_f64();
        stop.send_replace(true);
        keeper.await?;
        Ok(Projected { seats: seats.into_inner(), rows: self.rows().await? - before, seconds })
    }

    async fn rows(&self) -> Outcome<u64> {
        const ROWS: &str = "SELECT (SELECT COUNT(*) FROM log_entries) + (SELECT COUNT(*) FROM orders) + (SELECT COUNT(*) FROM rooms)";
        Ok(u64::try_from(fetch_one!(&self.store, (i64,), ROWS)?.0)?)
    }
}
