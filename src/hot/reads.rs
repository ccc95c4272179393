//! Reads of one campaign. Like ops in a lane: those that arrive while calls are under way go together in the next one, so a crowd that looks
//! at a room costs a few calls, and somebody who looks alone waits for nobody.

use std::sync::Arc;

use ::redis::Value;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::engine::Snapshot;
use super::lane::{self, Gate, News, Place, Shared, Trouble};
use super::redis::CallError;

/// Reads in one call, and rows in it: other campaigns wait for it.
const TOGETHER: usize = 128;
const ROWS: usize = 2_000;
/// Calls under way at once.
const IN_FLIGHT: usize = 2;

/// One thing to read; see `lua/read.lua`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Read<'a> {
    /// A row: table, field.
    Row(&'a str, &'a str),
    /// The first so many members of a sorted table from a least score on (`-inf`: all), with their rows from another table.
    First(&'a str, usize, &'a str, &'a str),
}

/// What was read of one request.
#[derive(Clone, Debug)]
pub enum Found {
    /// The packed row, if there is one.
    Row(Option<Vec<u8>>),
    /// Fields and packed rows.
    Rows(Vec<(String, Vec<u8>)>),
}

/// What one caller wants to read at one moment.
#[derive(Debug)]
pub(super) struct Wanted {
    packed: Vec<u8>,
    requests: usize,
    rows: usize,
    answer: oneshot::Sender<Result<Snapshot, Trouble>>,
}

impl Wanted {
    pub fn new(requests: &[Read<'_>], answer: oneshot::Sender<Result<Snapshot, Trouble>>) -> Result<Self, Trouble> {
        let packed = rmp_serde::to_vec(requests).map_err(|error| Trouble::Defect(error.to_string()))?;
        let rows = requests.iter().map(|request| if let Read::First(_, count, ..) = request { *count } else { 1 });
        Ok(Self { packed, requests: requests.len(), rows: rows.sum(), answer })
    }
}

/// The running side.
pub(super) struct Reads {
    pub shared: Arc<Shared>,
    pub wanted: mpsc::Receiver<Wanted>,
}

impl Reads {
    /// Runs until the engine drops its end.
    pub async fn run(mut self) {
        let mut flying = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(()) = flying.next() => {}
                first = self.wanted.recv(), if flying.len() < IN_FLIGHT => {
                    let Some(first) = first else { return };
                    let (mut rows, mut together) = (first.rows, vec![first]);
                    while together.len() < TOGETHER
                        && rows < ROWS
                        && let Ok(more) = self.wanted.try_recv()
                    {
                        rows = rows.saturating_add(more.rows);
                        together.push(more);
                    }
                    // Nobody reads for those who went away.
                    together.retain(|wanted| !wanted.answer.is_closed());
                    if !together.is_empty() {
                        flying.push(answer(Arc::clone(&self.shared), together));
                    }
                }
            }
        }
    }
}

async fn answer(shared: Arc<Shared>, wanted: Vec<Wanted>) {
    let read = read(&shared, &wanted).await;
    let mut all = read.map(|Snapshot { place, now, found }| (place, now, found.into_iter()));
    for Wanted { requests, answer, .. } in wanted {
        let own = match &mut all {
            Ok((place, now, found)) => Ok(Snapshot { place: *place, now: *now, found: found.take(requests).collect() }),
            Err(trouble) => Err(trouble.clone()),
        };
        // A caller that went away asks again.
        let _gone = answer.send(own);
    }
}

async fn read(shared: &Shared, wanted: &[Wanted]) -> Result<Snapshot, Trouble> {
    let now = *shared.gate.borrow();
    let Gate::Open(epoch) = now else { return Err(Trouble::Recovering) };
    let header = lane::header(epoch, &shared.clock);
    let mut args: Vec<&[u8]> = vec![&header];
    args.extend(wanted.iter().map(|wanted| wanted.packed.as_slice()));
    let reply: Vec<Value> = match shared.redis.script(&shared.program.read, &shared.program.keys(shared.campaign), &args).await {
        Ok(reply) => reply,
        Err(CallError::Refused(_)) => return Err(Trouble::Overloaded),
        Err(error) => {
            tracing::warn!(campaign = %shared.campaign, %error, "read without answer");
            return Err(Trouble::Recovering);
        }
    };
    match snapshot(epoch, reply) {
        Some(Ok(snapshot)) if snapshot.found.len() == wanted.iter().map(|wanted| wanted.requests).sum::<usize>() => Ok(snapshot),
        Some(Err(reason)) => {
            shared.close(epoch, News::Fenced(shared.campaign, reason));
            Err(Trouble::Recovering)
        }
        Some(Ok(_)) | None => Err(Trouble::Defect("a read's reply cannot be read".into())),
    }
}

/// Reads the reply of `lua/read.lua`: a snapshot, or the reason of the fence.
pub(super) fn snapshot(epoch: i64, reply: Vec<Value>) -> Option<Result<Snapshot, String>> {
    let mut parts = reply.into_iter();
    let word = lane::bytes(parts.next()?)?;
    if word != b"ok" {
        return Some(Err(String::from_utf8_lossy(&lane::bytes(parts.next()?)?).into_owned()));
    }
    let (Value::Int(seq), Value::Int(now)) = (parts.next()?, parts.next()?) else { return None };
    let found = parts.map(found).collect::<Option<_>>()?;
    Some(Ok(Snapshot { place: Place { epoch, seq }, now, found }))
}

fn found(value: Value) -> Option<Found> {
    let Value::Array(rows) = value else {
        let row = lane::bytes(value)?;
        return Some(Found::Row((!row.is_empty()).then_some(row)));
    };
    let mut rows = rows.into_iter();
    let mut pairs = Vec::new();
    while let (Some(field), Some(row)) = (rows.next(), rows.next()) {
        pairs.push((String::from_utf8(lane::bytes(field)?).ok()?, lane::bytes(row)?));
    }
    Some(Found::Rows(pairs))
}
