//! What one kind of op asks of a lane keeps no other waiting, for as long as it goes on: a lane that is never idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use liebian::clock::Clock;
use liebian::group_buy::PROGRAM;
use liebian::hot::lane::Gate;
use liebian::hot::{Class, Engine, Found, Place, Read, Row as _};
use liebian::id::CampaignId;
use liebian::order::row::{OrderRow, State};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::model::{Campaign, EPOCH, Op, definition, engine};
use crate::support::Redis;

/// So many at once, each again as soon as it is answered: more than two calls hold.
const CROWD: usize = 400;
/// Keeps Redis for some ms. Meanwhile the queues fill: whenever a batch comes back, more than another waits.
const SLOWLY: &str = "local n = 0 for i = 1, 1000000 do n = n + i end return n";

/// A campaign whose lane has its hands full with ops of one class, and in it `orderone` of `userone`, which waits for its payment.
struct Busy {
    _redis: Redis,
    engine: Arc<Engine>,
    id: CampaignId,
    noise: JoinSet<()>,
    /// Answers that the noise has got.
    heard: Arc<AtomicUsize>,
}

impl Busy {
    /// With ops of this class, and holds of so many ms.
    async fn with(class: Class, payment_ttl: i64) -> Self {
        let redis = Redis::start().await;
        let engine = engine(&redis.url());
        let id = Campaign::fresh(&engine).await.id;
        let now = Clock::default().now().get();
        let rules = liebian::campaign::rules::Rules { starts_at: now - 1000, ends_at: now + 1_000_000, payment_ttl, ..definition(3) };
        engine.open(id, &PROGRAM);
        let start = Place { epoch: EPOCH, seq: 0 };
        engine.serve(id, start, start);
        assert_eq!(engine.gate(id), Gate::Open(EPOCH));
        let mut noise = JoinSet::new();
        let slow = Arc::clone(&engine);
        noise.spawn(async move {
            loop {
                slow.redis().command::<i64>("EVAL", &[SLOWLY.as_bytes(), b"0"]).await.expect("slowness");
            }
        });
        let mut busy = Self { _redis: redis, engine, id, noise, heard: Arc::default() };
        let stock = vec![("cherry".to_owned(), 1000), ("plum".to_owned(), 1000)];
        busy.submit(Class::Drain, Op::Publish { definition: rules, stock }).await.expect("it is published");
        busy.open("one").await.expect("a seat");
        busy.keep_busy(class).await;
        busy
    }

    async fn submit(&self, class: Class, op: Op) -> Result<String, liebian::code::Code> {
        self.engine.submit(self.id, class, &op, None).await.expect("a decision").decision
    }

    async fn open(&self, name: &str) -> Result<String, liebian::code::Code> {
        let [room, order, user] = ["room", "order", "user"].map(|kind| format!("{kind}{name}"));
        self.submit(Class::Admit, Op::OpenRoom { room, order, device: user.clone(), user, sku: "cherry".to_owned(), quantity: 1 }).await
    }

    /// Ops of a class that change nothing, without end; comes back when the lane has its hands full.
    async fn keep_busy(&mut self, class: Class) {
        let op = match class {
            Class::Admit => Op::JoinRoom {
                room: "nowhere".to_owned(),
                order: "none".to_owned(),
                user: "nobody".to_owned(),
                device: "none".to_owned(),
                quantity: 1,
                newcomer: false,
            },
            Class::Drain => Op::Cancel { order: "none".to_owned(), user: "nobody".to_owned() },
        };
        let (engine, id, heard) = (Arc::clone(&self.engine), self.id, Arc::clone(&self.heard));
        self.noise.spawn(async move {
            let one = async |_| {
                loop {
                    let answer = engine.submit(id, class, &op, None).await.expect("a decision");
                    assert!(answer.decision.is_err(), "{answer:?}");
                    heard.fetch_add(1, Ordering::Relaxed);
                }
            };
            let _never: Vec<()> = join_all((0..CROWD).map(one)).await;
        });
        while self.heard.load(Ordering::Relaxed) < CROWD {
            tokio::task::yield_now().await;
        }
    }

    /// Nobody has stopped; ends them all.
    fn hush(&mut self) {
        let stopped = self.noise.try_join_next();
        assert!(stopped.is_none(), "{stopped:?}");
        self.noise.abort_all();
    }

    async fn state(&self, order: &str) -> State {
        let snapshot = self.engine.read(self.id, &[Read::Row("orders", order)]).await.expect("a reading");
        let Some(Found::Row(Some(row))) = snapshot.found.into_iter().next() else { panic!("no {order}") };
        OrderRow::read(&row).expect("a row").state
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_end_while_ops_keep_coming() {
    for class in [Class::Admit, Class::Drain] {
        let mut busy = Busy::with(class, 1000).await;
        let end = async { while busy.state("orderone").await != State::Released {} };
        timeout(Duration::from_secs(4), end).await.unwrap_or_else(|_late| panic!("the hold of a second stands after four: {class:?}"));
        busy.hush();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_class_waits_for_the_other() {
    for class in [Class::Admit, Class::Drain] {
        let mut busy = Busy::with(class, 900_000).await;
        let other = async {
            match class {
                Class::Admit => busy.submit(Class::Drain, Op::Cancel { order: "orderone".to_owned(), user: "userone".to_owned() }).await,
                Class::Drain => busy.open("two").await,
            }
        };
        let answer = timeout(Duration::from_secs(2), other).await.unwrap_or_else(|_late| panic!("it waits for {class:?}"));
        answer.expect("it is done");
        busy.hush();
    }
}
