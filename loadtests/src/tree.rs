//! An invitation tree that grows to a million users: is a bind, or a sale that is reported, dearer in a large tree than in a small one?
//!
//! The program is the server's; ops go to it in batches, as a lane sends them, each durable. Every user is bound to a random one before them,
//! which makes a tree of logarithmic depth; at every size binds and sales are measured at random users. Those who are bound there have invited
//! nobody, so nobody looks at the ancestors; binds of people who have, below a line of 63, are measured as well: as many are looked at as ever
//! are, though a batch reads them once for all its binds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use liebian::campaign::rules::ReferralRules;
use liebian::clock::{Clock, UnixMs};
use liebian::hot::{Class, Decided, Engine, program};
use liebian::id::{CampaignId, UserId};
use liebian::referral::PROGRAM;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::aio::MultiplexedConnection;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Outcome;

const EPOCH: i64 = 1;
/// Ops in a script call, as in a lane.
const BATCH: usize = 128;
/// Ops of one figure, and the parts in which it is measured.
const MEASURED: u32 = 12_800;
const PARTS: usize = 5;
/// Users of the line. A bind below it looks at all of them, if it looks, and at most at one more.
const DEEP: u32 = 63;

/// How large a tree.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Users in the end
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=2_000_000))]
    users: u32,
    /// Ends the run however far it is, in seconds
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    at_most_seconds: u64,
}

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op {
    Publish {
        definition: Box<ReferralRules>,
        stock: Vec<(String, i64)>,
    },
    Bind {
        user: String,
        inviter: String,
        newcomer: bool,
    },
    ReportSale {
        sale: String,
        buyer: String,
        level1: String,
        level2: String,
        fen1: i64,
        fen2: i64,
        back1: i64,
        back2: i64,
        freeze: i64,
        fulfilled_at: i64,
    },
}

/// Runs it.
pub async fn main(args: Args) -> Outcome<()> {
    match tokio::time::timeout(Duration::from_secs(args.at_most_seconds), run(args.users)).await {
        Ok(done) => done,
        Err(_late) => Err("ended: the time is over".into()),
    }
}

async fn run(users: u32) -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let redis = liebian::dev::Redis::start(&directory.path().join("redis"), "8gb", UnixMs::new(0)).await?;
    let mut tree = Tree::plant(&redis.url()).await?;
    let bar = ProgressBar::new(users.into());
    let mut json = Map::new();
    println!("{:>9} {:>22} {:>22} {:>22}", "users", "bind", "inviter below 63", "report_sale");
    for size in [1_000, 10_000, 100_000, 1_000_000, 2_000_000].into_iter().filter(|size| *size <= users) {
        // Measured just below the size: past a power of two Redis moves its tables, which is another cost.
        tree.grow(size.saturating_sub(tree.others + 3 * MEASURED).max(1_000), &bar).await?;
        tree.rest().await?;
        let mut line = format!("{size:>9}");
        for (name, cost) in [("bind", tree.binds().await?), ("deep_bind", tree.deep_binds().await?), ("sale", tree.sales().await?)] {
            line.push_str(&format!(" {:>7.1} µs {:>9.0}/s", cost.cpu_us, cost.per_second));
            json.insert(format!("{name}_us_at_{size}"), Value::from((cost.cpu_us * 10.0).round() / 10.0));
            json.insert(format!("{name}_per_s_at_{size}"), Value::from(cost.per_second.round()));
        }
        bar.suspend(|| println!("{line}"));
    }
    bar.finish_and_clear();
    println!("{}", Value::Object(json));
    redis.stop().await;
    Ok(())
}

/// Redis' CPU microseconds an op, and ops a second.
struct Cost {
    cpu_us: f64,
    per_second: f64,
}

struct Tree {
    engine: Arc<Engine>,
    connection: MultiplexedConnection,
    campaign: CampaignId,
    users: u32,
    others: u32,
}

impl Tree {
    /// A programme without bonds, but for a line of users one below the other.
    async fn plant(url: &str) -> Outcome<Self> {
        let engine = Arc::new(Engine::new(url, Arc::new(Clock::default()))?);
        let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        let campaign = CampaignId::from_hot("benchtre")?;
        engine.claim(campaign, &PROGRAM, EPOCH).await?;
        engine.wipe(campaign, &PROGRAM, EPOCH).await?;
        engine.release(campaign, &PROGRAM, EPOCH, (0, "", 0)).await?;
        let definition = Box::new(ReferralRules {
            version: 1,
            starts_at: 0,
            ends_at: 4_000_000_000_000,
            newcomers_only: false,
            first_touch: true,
            expires_after: None,
            protected: None,
            budget: Some(1_000_000_000_000),
            daily_budget: None,
            items: [].into(),
        });
        let tree = Self { engine, connection, campaign, users: 1, others: 0 };
        tree.send(&[Op::Publish { definition, stock: Vec::new() }]).await?;
        let line: Vec<_> = (1..DEEP).map(|place| bind(deep(place), deep(place - 1))).collect();
        tree.send(&line).await?;
        Ok(tree)
    }

    async fn send(&self, ops: &[Op]) -> Outcome<()> {
        for batch in ops.chunks(BATCH) {
            let packed = batch.iter().map(rmp_serde::to_vec_named).collect::<Result<Vec<_>, _>>()?;
            match self.engine.decide_batch(self.campaign, &PROGRAM, Class::Admit, (EPOCH, 0), &packed).await? {
                Decided::Answers { answers, .. } if answers.iter().all(|answer| answer.yes == 1) => {}
                other => return Err(format!("not all was done: {other:?}").into()),
            }
        }
        Ok(())
    }

    async fn grow(&mut self, size: u32, bar: &ProgressBar) -> Outcome<()> {
        while self.users < size {
            let next = size.min(self.users + 50_000);
            let ops: Vec<_> = (self.users..next).map(|number| bind(user(number), user(rand::rng().random_range(0..number)))).collect();
            self.send(&ops).await?;
            self.users = next;
            bar.set_position(next.into());
            self.forget_log().await?;
        }
        Ok(())
    }

    /// Users who do not count as the tree's.
    fn others(&mut self) -> std::ops::Range<u32> {
        let first = self.others;
        self.others += MEASURED;
        first..self.others
    }

    async fn binds(&mut self) -> Outcome<Cost> {
        let users = self.users;
        let ops: Vec<_> = self.others().map(|number| bind(other(number), user(rand::rng().random_range(0..users)))).collect();
        self.measured(&ops).await
    }

    async fn deep_binds(&mut self) -> Outcome<Cost> {
        let (inviters, invited) = (self.others(), self.others());
        let each_has_invited: Vec<_> = invited.zip(inviters.clone()).map(|(number, inviter)| bind(other(number), other(inviter))).collect();
        self.send(&each_has_invited).await?;
        self.forget_log().await?;
        let ops: Vec<_> = inviters.map(|number| bind(other(number), deep(DEEP - 1))).collect();
        self.measured(&ops).await
    }

    /// Sales of random users, which earn for two others.
    async fn sales(&mut self) -> Outcome<Cost> {
        let (users, now) = (self.users, Clock::default().now().get());
        let mut rng = rand::rng();
        let mut anybody = || user(rng.random_range(0..users));
        let sale = |number: u32| Op::ReportSale {
            sale: format!("shop-{number}"),
            buyer: anybody(),
            level1: anybody(),
            level2: anybody(),
            fen1: 990,
            fen2: 297,
            back1: 0,
            back2: 0,
            freeze: 604_800_000,
            fulfilled_at: now,
        };
        let ops: Vec<_> = self.others().map(sale).collect();
        self.measured(&ops).await
    }

    /// The middle one of a few measurements.
    async fn measured(&self, ops: &[Op]) -> Outcome<Cost> {
        let mut costs = Vec::new();
        for part in ops.chunks(ops.len().div_ceil(PARTS)) {
            let (before, began) = (self.cpu().await?, Instant::now());
            self.send(part).await?;
            let count = part.len() as f64;
            let per_second = count / began.elapsed().as_secs_f64();
            costs.push(Cost { cpu_us: (self.cpu().await? - before) * 1e6 / count, per_second });
            self.forget_log().await?;
        }
        costs.sort_by(|one, other| one.cpu_us.total_cmp(&other.cpu_us));
        Ok(costs.swap_remove(costs.len() / 2))
    }

    /// While Redis writes its append-only file anew, or moves its tables, everything is dearer.
    async fn rest(&self) -> Outcome<()> {
        while self.info("persistence", "aof_rewrite_in_progress:").await? > 0.0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// What the projector does behind its cursor.
    async fn forget_log(&self) -> Outcome<()> {
        let key = program::key(self.campaign, "log");
        Ok(redis::cmd("XTRIM").arg(key).arg("MAXLEN").arg(1).query_async::<i64>(&mut self.connection.clone()).await.map(drop)?)
    }

    async fn cpu(&self) -> Outcome<f64> {
        Ok(self.info("cpu", "used_cpu_user_main_thread:").await? + self.info("cpu", "used_cpu_sys_main_thread:").await?)
    }

    async fn info(&self, section: &str, field: &str) -> Outcome<f64> {
        let text: String = redis::cmd("INFO").arg(section).query_async(&mut self.connection.clone()).await?;
        Ok(text.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?.trim().parse()?)
    }
}

fn bind(user: String, inviter: String) -> Op {
    Op::Bind { user, inviter, newcomer: true }
}

/// An id like any other.
fn id(family: u64, number: u32) -> String {
    UserId::random(&mut StdRng::seed_from_u64(family << 32 | u64::from(number))).hot().to_owned()
}

fn user(number: u32) -> String {
    id(0, number)
}

fn deep(place: u32) -> String {
    id(1, place)
}

fn other(number: u32) -> String {
    id(2, number)
}
