//! The engine without HTTP: what a batch saves against one script a join, what a seat takes in Redis' memory, and whether a large campaign is
//! dearer than a small one. Every join is durable: `appendfsync always`, log entry, hash chain.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use liebian::clock::Clock;
use liebian::hot::Class;
use liebian::hot::program::Program;
use liebian::id::{CampaignId, OrderId, RoomId, UserId};
use redis::Value;
use redis::aio::MultiplexedConnection;
use serde::Serialize;

use super::projection::Rig;
use crate::Outcome;

/// Ops in a script call, as in a lane.
const BATCH: usize = 128;
/// Calls under way at once, as in a lane.
const CALLS: usize = 2;
/// Tasks that send single joins.
const TASKS: usize = 64;
/// Seats in a room.
const SIZE: usize = 5;
/// How often a cost is measured; the middle one counts.
pub const MEASURED: usize = 3;

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op {
    OpenRoom { room: String, order: String, user: String, device: String, sku: &'static str, quantity: i64 },
    JoinRoom { room: String, order: String, user: String, device: String, quantity: i64 },
}

/// One campaign in a Redis of its own.
pub struct Raw {
    _redis: liebian::dev::Redis,
    _rig: Rig,
    campaign: CampaignId,
    epoch: i64,
    connection: MultiplexedConnection,
    program: &'static Program,
}

/// What was seen.
#[derive(Debug)]
pub struct Cost {
    /// Joins a second.
    pub per_second: f64,
    /// Redis' CPU microseconds a join.
    pub cpu_us: f64,
}

impl Raw {
    /// A campaign without rooms.
    pub async fn start(directory: &Path) -> Outcome<Self> {
        let redis = liebian::dev::Redis::start(&directory.join("redis"), "8gb", liebian::clock::UnixMs::new(0)).await?;
        let rig = Rig::open(&redis.url(), &format!("sqlite://{}", directory.join("raw.db").display())).await?;
        let campaign = rig.campaign("benchraw", i64::try_from(SIZE)?).await?;
        let connection = redis::Client::open(redis.url())?.get_multiplexed_async_connection().await?;
        let mut raw = Self { _redis: redis, _rig: rig, campaign, epoch: 0, connection, program: &liebian::group_buy::PROGRAM };
        raw.epoch = raw.command(&["HGET", &raw.key("meta"), "epoch"]).await?;
        raw.command::<String>(&["SCRIPT", "LOAD", &raw.program.script(Class::Admit).text]).await?;
        Ok(raw)
    }

    fn key(&self, table: &str) -> String {
        liebian::hot::program::key(self.campaign, table)
    }

    async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> Outcome<T> {
        let mut command = redis::cmd(words.first().ok_or("no command")?);
        command.arg(words.get(1..).unwrap_or_default());
        Ok(command.query_async(&mut self.connection.clone()).await?)
    }

    /// Opens that many rooms; answers `seats - 1` joins for each, room by room.
    async fn open(&self, rooms: usize) -> Outcome<Vec<Vec<u8>>> {
        let mut joins = Vec::with_capacity(rooms * (SIZE - 1));
        let mut opens = Vec::with_capacity(rooms);
        for _ in 0..rooms {
            let (room, order, user) = self.ids();
            for _ in 1..SIZE {
                let (_, order, user) = self.ids();
                joins.push(pack(&Op::JoinRoom { room: room.clone(), order, device: user.clone(), user, quantity: 1 })?);
            }
            opens.push(pack(&Op::OpenRoom { room, order, device: user.clone(), user, sku: super::projection::SKU, quantity: 1 })?);
        }
        self.batches(&opens).await?;
        Ok(joins)
    }

    fn ids(&self) -> (String, String, String) {
        let (now, mut rng) = (Clock::default().now(), rand::rng());
        let (room, order) = (RoomId::new(self.campaign, now, &mut rng), OrderId::new(self.campaign, now, &mut rng));
        (room.hot().to_owned(), order.hot().to_owned(), UserId::random(&mut rng).hot().to_owned())
    }

    async fn call(&self, ops: &[Vec<u8>]) -> Outcome<()> {
        let header = rmp_serde::to_vec(&(self.epoch, 0, 0))?;
        let keys = self.program.keys(self.campaign);
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.program.script(Class::Admit).sha1).arg(keys.len()).arg(&keys).arg(&header);
        for op in ops {
            command.arg(op);
        }
        let reply: Vec<Value> = command.query_async(&mut self.connection.clone()).await?;
        let (Some(Value::BulkString(word)), Some(answers)) = (reply.first(), reply.get(5..)) else {
            return Err(format!("an unexpected reply: {reply:?}").into());
        };
        let yes = answers.chunks(6).filter(|answer| answer.first() == Some(&Value::Int(1))).count();
        if word == b"ok" && yes == ops.len() { Ok(()) } else { Err("an op was refused".into()) }
    }

    async fn batches(&self, ops: &[Vec<u8>]) -> Outcome<()> {
        let calls = futures_util::stream::iter(ops.chunks(BATCH)).map(|ops| self.call(ops)).buffered(CALLS);
        calls.collect::<Vec<_>>().await.into_iter().collect()
    }

    async fn measured(&self, joins: usize, work: impl Future<Output = Outcome<()>>) -> Outcome<Cost> {
        let before = self.cpu().await?;
        let began = Instant::now();
        work.await?;
        let per_second = joins as f64 / began.elapsed().as_secs_f64();
        let cost = Cost { per_second, cpu_us: (self.cpu().await? - before) * 1e6 / joins as f64 };
        self.forget_log().await?;
        Ok(cost)
    }

    /// Joins in batches, as a lane sends them.
    pub async fn batched(&self, count: usize) -> Outcome<Cost> {
        let joins = self.open(count / (SIZE - 1)).await?;
        self.measured(joins.len(), self.batches(&joins)).await
    }

    /// One script a join, by 64 tasks over one connection.
    pub async fn single(self: &Arc<Self>, count: usize) -> Outcome<Cost> {
        let joins = self.open(count / (SIZE - 1)).await?;
        let length = joins.len();
        let all = futures_util::stream::iter(joins).map(|join| async move { self.call(&[join]).await }).buffer_unordered(TASKS);
        self.measured(length, async { all.collect::<Vec<_>>().await.into_iter().collect() }).await
    }

    /// Fills the campaign with that many seats more; answers the bytes of Redis' memory each takes, the log not counted.
    pub async fn bytes_per_seat(&self, seats: usize) -> Outcome<f64> {
        self.forget_log().await?;
        let before = self.memory().await?;
        for _ in 0..seats / (SIZE * 10_000) {
            let joins = self.open(10_000).await?;
            self.batches(&joins).await?;
            self.forget_log().await?;
        }
        Ok((self.memory().await? - before) / (seats / (SIZE * 10_000) * SIZE * 10_000) as f64)
    }

    /// The middle one of three measurements, with nothing else going on: while Redis writes its append-only file anew, every page that it
    /// touches is copied.
    pub async fn cost(&self, count: usize) -> Outcome<f64> {
        let mut costs = Vec::new();
        for _ in 0..MEASURED {
            while self.info("persistence", "aof_rewrite_in_progress:").await? > 0.0 {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            costs.push(self.batched(count).await?.cpu_us);
        }
        costs.sort_by(f64::total_cmp);
        eprintln!("Redis' CPU a join: {costs:.1?} µs");
        Ok(costs[MEASURED / 2])
    }

    /// What the projector does behind its cursor.
    async fn forget_log(&self) -> Outcome<()> {
        self.command::<i64>(&["XTRIM", &self.key("log"), "MAXLEN", "1"]).await.map(drop)
    }

    async fn memory(&self) -> Outcome<f64> {
        self.info("memory", "used_memory:").await
    }

    async fn cpu(&self) -> Outcome<f64> {
        Ok(self.info("cpu", "used_cpu_user_main_thread:").await? + self.info("cpu", "used_cpu_sys_main_thread:").await?)
    }

    async fn info(&self, section: &str, field: &str) -> Outcome<f64> {
        let text: String = self.command(&["INFO", section]).await?;
        Ok(text.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?.trim().parse()?)
    }
}

fn pack(op: &Op) -> Outcome<Vec<u8>> {
    Ok(rmp_serde::to_vec_named(op)?)
}
