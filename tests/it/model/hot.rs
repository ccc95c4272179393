//! A campaign driven by hand: batches in, hot state and log out.

use std::collections::BTreeMap;
use std::sync::Arc;

use liebian::clock::Clock;
use liebian::group_buy::PROGRAM;
use liebian::hot::entry::{Change, Entry};
use liebian::hot::shelf::{has_shelves, rows};
use liebian::hot::{Class, Decided, Engine, Program, program};
use liebian::id::CampaignId;

use serde::Serialize;

use super::ops::Sent;
use super::rows::Cell;

/// The epoch that fresh campaigns serve.
pub const EPOCH: i64 = 1;

/// A campaign that nobody else drives.
pub struct Campaign {
    pub engine: Arc<Engine>,
    pub id: CampaignId,
    pub program: &'static Program,
}

/// Every raw field of hot state (scores as numbers), and meta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hot {
    pub fields: BTreeMap<(&'static str, String), Vec<u8>>,
    pub meta: BTreeMap<String, String>,
}

/// An engine of its own, as another process has it.
pub fn engine(url: &str) -> Arc<Engine> {
    Arc::new(Engine::new(url, Arc::new(Clock::default())).unwrap())
}

impl Campaign {
    /// A fresh, empty campaign.
    pub async fn fresh(engine: &Arc<Engine>) -> Self {
        Self::with(engine, &PROGRAM).await
    }

    /// The same under another program text.
    pub async fn with(engine: &Arc<Engine>, program: &'static Program) -> Self {
        let id = CampaignId::random(&mut rand::rng());
        engine.claim(id, program, EPOCH).await.unwrap();
        assert!(engine.wipe(id, program, EPOCH).await.unwrap());
        assert!(engine.release(id, program, EPOCH, (0, "", 0)).await.unwrap());
        Self { engine: Arc::clone(engine), id, program }
    }

    /// Sends one batch at a fixed time.
    pub async fn send<O: Serialize>(&self, class: Class, at: i64, ops: &[Sent<O>]) -> Decided {
        self.send_from(&self.engine, class, at, ops).await
    }

    /// The same through another engine.
    pub async fn send_from<O: Serialize>(&self, engine: &Engine, class: Class, at: i64, ops: &[Sent<O>]) -> Decided {
        let packed: Vec<_> = ops.iter().map(Sent::packed).collect();
        engine.decide_batch(self.id, self.program, class, (EPOCH, at), &packed).await.unwrap()
    }

    fn key(&self, table: &str) -> String {
        program::key(self.id, table)
    }

    async fn command(&self, name: &str, args: &[&[u8]]) -> Vec<Vec<u8>> {
        self.engine.redis().command(name, args).await.unwrap()
    }

    /// Changes a field behind the program's back.
    pub async fn tamper(&self, table: &str, field: &str, value: &[u8]) {
        let (mut place, mut value) = (field.as_bytes().to_vec(), value.to_vec());
        if has_shelves(table) {
            // Alone on its shelf.
            let length = |text: &[u8]| u8::try_from(text.len()).unwrap();
            value = [&[128 + length(&place)], &*place, &[length(&value)], &*value].concat();
            let end: Vec<u8> = place.iter().rev().copied().chain([0]).take(3).collect();
            place = vec![end[1], end[0], 97 + end[2] % 16];
        }
        let _: i64 = self.engine.redis().command("HSET", &[self.key(table).as_bytes(), &place, &value]).await.unwrap();
    }

    /// Sets a timer behind the program's back.
    pub async fn tamper_timer(&self, timer: &str, at: i64) {
        let (key, at) = (self.key("timers"), at.to_string());
        let _: i64 = self.engine.redis().command("ZADD", &[key.as_bytes(), at.as_bytes(), timer.as_bytes()]).await.unwrap();
    }

    /// Reads everything.
    pub async fn hot(&self) -> Hot {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut fields = BTreeMap::new();
        let mut meta = BTreeMap::new();
        for &table in self.program.tables.iter().filter(|table| **table != "log") {
            let key = self.key(table);
            let sorted = matches!(table, "timers" | "joinable");
            let pairs = if sorted {
                self.command("ZRANGE", &[key.as_bytes(), b"0", b"-1", b"WITHSCORES"]).await
            } else {
                self.command("HGETALL", &[key.as_bytes()]).await
            };
            let pairs = if has_shelves(table) { unshelved(&pairs) } else { pairs };
            for pair in pairs.chunks(2) {
                let field = text(&pair[0]);
                if table == "meta" {
                    meta.insert(field, text(&pair[1]));
                } else {
                    // Servers write the same number differently (1800000000000, 1.8e+12).
                    let value = if sorted { score(&pair[1]).to_string().into_bytes() } else { pair[1].clone() };
                    fields.insert((table, field), value);
                }
            }
        }
        Hot { fields, meta }
    }

    /// The whole log; panics unless it is gap-free and chained from the beginning, with each entry's id its first sequence.
    pub async fn log(&self) -> Vec<Entry> {
        let log = self.engine.log_after(self.id, 0, 100_000).await.unwrap();
        let (mut seq, mut hash) = (0, String::new());
        for entry in &log {
            entry.follows(seq, &hash).unwrap();
            assert!(entry.body.last >= entry.body.first);
            (seq, hash) = (entry.body.last, entry.hash.clone());
        }
        log
    }
}

/// The rows on shelves, each after its name.
fn unshelved(shelves: &[Vec<u8>]) -> Vec<Vec<u8>> {
    shelves.chunks(2).flat_map(|pair| rows(&pair[1]).unwrap()).flat_map(|(name, row)| [name.into_bytes(), row]).collect()
}

#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "scores are whole numbers below 2^53")]
fn score(text: &[u8]) -> i64 {
    str::from_utf8(text).unwrap().parse::<f64>().unwrap() as i64
}

impl Hot {
    /// Reads every field of a group-buy.
    pub fn cells(&self) -> BTreeMap<(&'static str, String), Cell> {
        self.each(Cell::read)
    }

    /// Reads every field.
    pub fn each<C>(&self, read: impl Fn(&str, &str, &[u8]) -> C) -> BTreeMap<(&'static str, String), C> {
        self.fields.iter().map(|(place, value)| (place.clone(), read(place.0, &place.1, value))).collect()
    }

    /// A number of meta.
    pub fn number(&self, field: &str) -> i64 {
        self.meta[field].parse().unwrap()
    }
}

/// Folds the changes of a log: last writer wins, empty deletes.
pub fn refold(program: &Program, log: &[Entry]) -> BTreeMap<(&'static str, String), Vec<u8>> {
    let mut fields = BTreeMap::new();
    for Change(table, field, value) in log.iter().flat_map(|entry| &entry.body.changes) {
        let table = *program.tables.iter().find(|known| *known == table).unwrap();
        if value.is_empty() {
            fields.remove(&(table, field.clone()));
        } else {
            fields.insert((table, field.clone()), value.to_vec());
        }
    }
    fields
}
