//! `make bench`: one run, one machine, one load generator. Everything is measured several times in turn, and the median counts.

mod postgres;
mod projection;
mod raw;
mod report;
mod servers;
mod shoppers;
mod streams;
mod wrk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use liebian::clock::UnixMs;
use liebian::crypto::Secrets;
use liebian::id::{CampaignId, ChainId, RoomId};
use liebian::store::{Store, fetch_one};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{Outcome, usual};
use postgres::Postgres;
use projection::Rig;
use raw::{MEASURED, Raw};
use report::Figures;
use servers::{Liebian, SECRET, Server};
use shoppers::Shopper;
use wrk::{Requests, Seen};

/// Seats in a room of the benchmark: the smallest that WeChat still allows, so that most ops are joins.
const SIZE: usize = 5;
/// Live streams beside the joins.
const STREAMS: usize = 2_000;
/// Joins of a raw measurement, in batches and one by one.
const BATCHED: usize = 100_000;
const SINGLE: usize = 20_000;
/// Joins whose cost is looked at beside few and beside many seats.
const COSTED: usize = 20_000;
/// Rooms whose log is projected.
const BACKLOG: u64 = 20_000;
/// Shoppers whose codes the others are bound by.
const INVITERS: usize = 64;
/// More requests a second than this machine will do; so many are made ready.
const MOST_PER_SECOND: usize = 60_000;

/// What to measure, and for how long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's program
    #[arg(long, default_value = "target/release/liebian")]
    program: PathBuf,
    /// How often everything is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    rounds: u32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=20))]
    seconds: u32,
    /// Connections of the load generator
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Only these parts, comma-separated: page, sold_out, join, programme, cut, bind, baseline, streams, raw, memory, projection
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Seats at which memory and the cost of a join are looked at
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(50_000..=2_000_000))]
    seats: u32,
    /// Where the picture goes
    #[arg(long, default_value = "target/bench.svg")]
    picture: PathBuf,
}

/// Runs the benchmark.
pub async fn main(args: Args) -> Outcome<()> {
    match tokio::time::timeout(Duration::from_mins(20), Bench::start(args).await?.run()).await {
        Ok(done) => done,
        Err(_late) => Err("ended: the time is over".into()),
    }
}

/// Totals since the servers started.
struct Costs {
    server_us: f64,
    scripts_us: f64,
    scripts: f64,
    batches: f64,
}

struct Bench {
    args: Args,
    directory: tempfile::TempDir,
    secrets: Secrets,
    noop: Server,
    usual: Server,
    usual_redis: liebian::dev::Redis,
    liebian: Liebian,
    store: Store,
    bar: ProgressBar,
}

impl Bench {
    async fn start(args: Args) -> Outcome<Self> {
        let directory = tempfile::tempdir()?;
        let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("[{elapsed_precise}] {msg}")?);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar.set_message("starting servers");
        let usual_redis = liebian::dev::Redis::start(&directory.path().join("usual"), "4gb", UnixMs::new(0)).await?;
        let liebian = Liebian::start(&args.program, &directory.path().join("liebian")).await?;
        liebian.end_demo_programme().await?;
        Ok(Self {
            noop: Server::noop().await?,
            usual: Server::usual(&usual_redis.url()).await?,
            store: Store::connect(&liebian.database_url()).await?,
            secrets: Secrets::new(SECRET),
            args,
            directory,
            usual_redis,
            liebian,
            bar,
        })
    }

    async fn run(self) -> Outcome<()> {
        let mut figures = Figures::default();
        for round in 1..=self.args.rounds {
            self.round(round, &mut figures).await?;
        }
        if self.wants("memory") {
            self.memory(&mut figures).await?;
        }
        self.bar.finish_and_clear();
        figures.print(&self.args.picture)?;
        self.usual_redis.stop().await;
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        self.args.only.is_empty() || self.args.only.iter().any(|part| part == name)
    }

    fn tell(&self, round: u32, name: &str) {
        self.bar.set_message(format!("round {round} of {}: {name}", self.args.rounds));
    }

    async fn round(&self, round: u32, figures: &mut Figures) -> Outcome<()> {
        self.tell(round, "an empty handler");
        figures.add("noop_rps", self.get(&format!("{}/", self.noop.base)).await?);
        if self.wants("page") {
            self.tell(round, "the campaign page");
            figures.add("page_rps", self.page().await?);
            figures.add("same_bytes_as_page_rps", self.get(&format!("{}/page", self.noop.base)).await?);
        }
        if self.wants("sold_out") {
            self.tell(round, "refusals of a sold-out campaign");
            let [refused, ready, checked] = self.sold_out().await?;
            figures.add("sold_out_rps", refused);
            figures.add("same_bytes_as_sold_out_rps", ready);
            figures.add("only_checks_as_sold_out_rps", checked);
        }
        if self.wants("join") {
            self.tell(round, "joins");
            figures.add("join_rps", self.join(None).await?);
        }
        if self.wants("programme") {
            self.tell(round, "joins while a referral programme is live");
            self.programme().await?;
            figures.add("join_rps_beside_programme", self.join(None).await?);
            self.liebian.end_programmes().await?;
        }
        if self.wants("cut") {
            self.tell(round, "cuts");
            figures.add("cut_rps", self.cut().await?);
        }
        if self.wants("bind") {
            self.tell(round, "binds");
            figures.add("bind_rps", self.bind().await?);
        }
        if self.wants("baseline") {
            self.tell(round, "joins the usual way");
            figures.add("baseline_join_rps", self.usual_join().await?);
        }
        if self.wants("streams") {
            self.tell(round, "joins beside live streams");
            let rate = self.join(Some(&mut *figures)).await?;
            figures.add("join_rps_beside_2000_streams", rate);
        }
        if self.wants("raw") {
            self.tell(round, "the engine without HTTP");
            let raw = Arc::new(Raw::start(&self.fresh(round, "raw")?).await?);
            figures.add("raw_batched_joins_per_s", raw.batched(BATCHED).await?.per_second);
            figures.add("raw_single_joins_per_s", raw.single(SINGLE).await?.per_second);
        }
        if self.wants("projection") {
            self.tell(round, "the log into SQLite");
            let directory = self.fresh(round, "sqlite")?;
            let url = format!("sqlite://{}", directory.join("projected.db").display());
            self.project(&directory, &url, ["projected_rows_per_s", "sustained_joins_per_s"], figures).await?;
            self.tell(round, "the log into Postgres");
            let postgres = Postgres::start().await?;
            let names = ["projected_rows_per_s_postgres", "sustained_joins_per_s_postgres"];
            self.project(&self.fresh(round, "postgres")?, &postgres.url(), names, figures).await?;
        }
        Ok(())
    }

    fn fresh(&self, round: u32, name: &str) -> Outcome<PathBuf> {
        let directory = self.directory.path().join(format!("{name}{round}"));
        std::fs::create_dir(&directory)?;
        Ok(directory)
    }

    /// A backlog at full speed, then the rate at which SQL keeps up.
    async fn project(&self, directory: &Path, url: &str, [rows, joins]: [&'static str; 2], figures: &mut Figures) -> Outcome<()> {
        let redis = liebian::dev::Redis::start(&directory.join("redis"), "4gb", UnixMs::new(0)).await?;
        let rig = Rig::open(&redis.url(), url).await?;
        let size = i64::try_from(SIZE)?;
        let campaign = rig.campaign("benchlog", size).await?;
        figures.add(rows, rig.backlog(&[campaign], BACKLOG, size).await?.rows_per_s());
        let campaign = rig.campaign("benchrun", size).await?;
        let sustained = rig.sustained(campaign, size, Duration::from_secs(self.args.seconds.into())).await?;
        figures.add(joins, sustained.seats_per_s());
        redis.stop().await;
        Ok(())
    }

    /// What a seat takes, and what a join costs Redis with few and with many of them.
    async fn memory(&self, figures: &mut Figures) -> Outcome<()> {
        self.bar.set_message(format!("{} seats in Redis", self.args.seats));
        let raw = Raw::start(&self.fresh(0, "memory")?).await?;
        raw.batched(1_000).await?;
        let small = raw.cost(COSTED).await?;
        // The last measurement ends at as many seats as were asked for: just past a power of two Redis moves its tables, which is another cost.
        let more = (self.args.seats as usize).saturating_sub(2 * MEASURED * COSTED / (SIZE - 1) * SIZE);
        figures.add("redis_bytes_per_seat", raw.bytes_per_seat(more).await?);
        let large = raw.cost(COSTED).await?;
        figures.add("redis_us_per_join", small);
        figures.add("join_cost_large_over_small", large / small);
        Ok(())
    }

    async fn get(&self, url: &str) -> Outcome<f64> {
        let seen = wrk::get(url, self.args.connections, self.args.seconds, &[]).await?;
        no_refusals(seen, url)
    }

    async fn page(&self) -> Outcome<f64> {
        let campaign = self.publish(1_000).await?;
        let shopper = self.shoppers(1).await?.pop().ok_or("no shopper")?;
        let body = json!({"campaign_id": campaign.to_string()}).to_string();
        let link = self.once(&shopper, "/v1/shares", &body).await?;
        let path = link["path"].as_str().ok_or("no path")?;
        self.get(&format!("{}{path}", self.liebian.server.base)).await
    }

    /// Refusals a second; how often a handler that only sends a refusal of as many bytes answers the same requests; and how often one that
    /// verifies who asks before.
    async fn sold_out(&self) -> Outcome<[f64; 3]> {
        let campaign = self.publish(1).await?;
        let path = format!("/v1/campaigns/{campaign}/rooms");
        // The handlers compared with do more than any op.
        let shoppers = self.shoppers(1 + 2 * self.most()).await?;
        let body = r#"{"sku":"load","quantity":1}"#;
        self.once(&shoppers[0], &path, body).await?;
        let mut requests = Requests::new(self.directory.path(), "sold_out")?;
        for shopper in &shoppers[1..] {
            requests.post(&path, &shopper.headers, body)?;
        }
        let requests = requests.finish()?;
        let mut rates = [0.0; 3];
        for (rate, base) in rates.iter_mut().zip([&self.liebian.server.base, &self.noop.base, &self.usual.base]) {
            let seen = wrk::replay(base, &requests, self.args.connections, self.args.seconds).await?;
            if seen.refused < seen.answers {
                return Err("somebody was not refused".into());
            }
            *rate = seen.per_second;
        }
        Ok(rates)
    }

    /// Every join is of a shopper of their own, on a device of their own, into a seat that is free.
    /// `beside`: with 2,000 live streams open on rooms of the campaign, whose memory goes there.
    async fn join(&self, beside: Option<&mut Figures>) -> Outcome<f64> {
        let joins = self.most();
        let rooms = joins.div_ceil(SIZE - 1);
        let campaign = self.publish(2 * rooms * SIZE).await?;
        let rooms = self.open(campaign, rooms).await?;
        let shoppers = self.shoppers(joins).await?;
        let requests = self.joins(&rooms, &shoppers)?;
        drop(shoppers);
        self.quiet(campaign).await?;
        let memory = self.liebian.server.memory_mib();
        let watched: Vec<String> = rooms.iter().rev().map(RoomId::to_string).collect();
        let streams = match &beside {
            Some(_) => Some(streams::streams(&self.liebian.server.base, &watched, STREAMS).await?),
            None => None,
        };
        if let Some(figures) = beside {
            figures.add("mib_of_2000_streams", self.liebian.server.memory_mib() - memory);
        }
        let before = self.costs().await?;
        let seen = self.replay(&self.liebian.server, requests, self.args.seconds).await?;
        let after = self.costs().await?;
        let each = |cost: fn(&Costs) -> f64| (cost(&after) - cost(&before)) / seen.answers as f64;
        eprintln!(
            "joins: {:.0} a second; CPU each: {:.1} µs server, {:.1} µs scripts; {:.1} a batch, {:.1} a script call",
            seen.per_second,
            each(|cost| cost.server_us),
            each(|cost| cost.scripts_us),
            1.0 / each(|cost| cost.batches),
            1.0 / each(|cost| cost.scripts),
        );
        let rate = no_refusals(seen, "join")?;
        if let Some(streams) = streams {
            eprintln!("streams: {} events, {} ended", streams.events(), streams.ended());
        }
        let began = Instant::now();
        self.quiet(campaign).await?;
        eprintln!("the projector needed {:.1} s more", began.elapsed().as_secs_f64());
        self.audit(campaign).await?;
        Ok(rate)
    }

    /// Every cut is of a shopper of their own, on a device of their own, of a step that is free.
    async fn cut(&self) -> Outcome<f64> {
        let cuts = self.most();
        let campaign = self.bargain().await?;
        let path = format!("/v1/campaigns/{campaign}/chains");
        let chains = self.begin(campaign, cuts.div_ceil(SIZE), ("chains", &path, r#"{"sku":"load"}"#)).await?;
        let mut requests = Requests::new(self.directory.path(), "cuts")?;
        for (shopper, chain) in self.shoppers(cuts).await?.iter().zip(chains.iter().cycle()) {
            let chain = ChainId::from_hot(campaign, chain)?;
            requests.post(&format!("/v1/chains/{chain}/cuts"), &shopper.headers, "{}")?;
        }
        self.quiet(campaign).await?;
        let rate = no_refusals(self.replay(&self.liebian.server, requests, self.args.seconds).await?, "cut")?;
        self.quiet(campaign).await?;
        self.audit(campaign).await?;
        Ok(rate)
    }

    /// Every bind is of a shopper of their own, to one of some inviters.
    async fn bind(&self) -> Outcome<f64> {
        let campaign = self.programme().await?;
        let mut codes = Vec::new();
        for inviter in self.shoppers(INVITERS).await? {
            let made = self.once(&inviter, &format!("/v1/campaigns/{campaign}/invites"), "{}").await?;
            codes.push(made["invite_code"].as_str().ok_or("no invite code")?.to_owned());
        }
        let mut requests = Requests::new(self.directory.path(), "binds")?;
        for (shopper, code) in self.shoppers(self.most()).await?.iter().zip(codes.iter().cycle()) {
            requests.post(&format!("/v1/campaigns/{campaign}/bonds"), &shopper.headers, &json!({"invite_code": code}).to_string())?;
        }
        self.quiet(campaign).await?;
        let rate = no_refusals(self.replay(&self.liebian.server, requests, self.args.seconds).await?, "bind")?;
        self.quiet(campaign).await?;
        self.audit(campaign).await?;
        self.liebian.end_programmes().await?;
        Ok(rate)
    }

    async fn costs(&self) -> Outcome<Costs> {
        let mut redis = redis::Client::open(self.liebian.redis_url()?)?.get_multiplexed_async_connection().await?;
        let info: String = redis::cmd("INFO").arg("commandstats").query_async(&mut redis).await?;
        let line = info.lines().find(|line| line.starts_with("cmdstat_evalsha")).unwrap_or_default();
        let field = |name: &str| line.split([':', ',']).find_map(|field| field.strip_prefix(name)?.parse().ok()).unwrap_or(0.0);
        Ok(Costs {
            server_us: self.liebian.server.cpu_seconds() * 1e6,
            scripts_us: field("usec="),
            scripts: field("calls="),
            batches: self.liebian.counter("liebian_batches_total").await?,
        })
    }

    async fn usual_join(&self) -> Outcome<f64> {
        let joins = self.most();
        let rooms = usual::rooms(&self.usual_redis.url(), joins.div_ceil(SIZE - 1), SIZE).await?;
        let shoppers = shoppers::make(&self.secrets, joins)?;
        let requests = self.joins(&rooms, &shoppers)?;
        no_refusals(self.replay(&self.usual, requests, self.args.seconds).await?, "the usual join")
    }

    fn joins(&self, rooms: &[RoomId], shoppers: &[Shopper]) -> Outcome<Requests> {
        let mut requests = Requests::new(self.directory.path(), "joins")?;
        for (shopper, room) in shoppers.iter().zip(rooms.iter().cycle()) {
            requests.post(&format!("/v1/rooms/{room}/members"), &shopper.headers, r#"{"quantity":1}"#)?;
        }
        Ok(requests)
    }

    async fn replay(&self, server: &Server, requests: Requests, seconds: u32) -> Outcome<Seen> {
        wrk::replay(&server.base, &requests.finish()?, self.args.connections, seconds).await
    }

    fn most(&self) -> usize {
        MOST_PER_SECOND * self.args.seconds as usize
    }

    async fn shoppers(&self, count: usize) -> Outcome<Vec<Shopper>> {
        let shoppers = shoppers::make(&self.secrets, count)?;
        shoppers::sign_in(&self.store, &shoppers).await?;
        Ok(shoppers)
    }

    /// A campaign with one SKU `load` of so many units.
    async fn publish(&self, stock: usize) -> Outcome<CampaignId> {
        let definition = json!({
            "kind": "group_buy", "title": "Benchmark", "surface": "web", "rules_text": "A campaign that a benchmark made for itself.",
            "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z",
            "items": [{"sku": "load", "title": "Load", "list_price_fen": 200, "stock": stock, "tiers": [{"size": SIZE, "price_fen": 100}]}],
        });
        self.put_in_force(&definition).await
    }

    /// A bargain of the same SKU, with chains of as many steps as a room has seats.
    async fn bargain(&self) -> Outcome<CampaignId> {
        let definition = json!({
            "kind": "bargain", "title": "Benchmark", "surface": "web", "rules_text": "A campaign that a benchmark made for itself.",
            "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z", "cuts": {"helpers": SIZE, "curve": "front_loaded"},
            "items": [{"sku": "load", "title": "Load", "list_price_fen": 29_900, "floor_price_fen": 9_900, "stock": 1}],
        });
        self.put_in_force(&definition).await
    }

    /// A referral programme that takes everybody.
    async fn programme(&self) -> Outcome<CampaignId> {
        let definition = json!({
            "kind": "referral", "title": "Benchmark", "surface": "web", "rules_text": "A campaign that a benchmark made for itself.",
            "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z", "items": [],
            "levels": [{"basis_points": 1000}, {"basis_points": 300}], "acknowledge_level_two": true, "bond": {"newcomers_only": false},
        });
        self.put_in_force(&definition).await
    }

    async fn put_in_force(&self, definition: &Value) -> Outcome<CampaignId> {
        let made = self.liebian.post("/operator/v1/campaigns", definition).await?;
        let id: CampaignId = made["id"].as_str().ok_or("no id")?.parse()?;
        self.liebian.post(&format!("/operator/v1/campaigns/{id}/publish"), &json!({})).await?;
        Ok(id)
    }

    /// Opens that many rooms or some more.
    async fn open(&self, campaign: CampaignId, count: usize) -> Outcome<Vec<RoomId>> {
        let path = format!("/v1/campaigns/{campaign}/rooms");
        let rooms = self.begin(campaign, count, ("rooms", &path, r#"{"sku":"load","quantity":1}"#)).await?;
        rooms.iter().map(|room| Ok(RoomId::from_hot(campaign, room)?)).collect()
    }

    /// Begins that many things of a table or some more, each by a shopper of its own; answers their ids as Redis has them.
    async fn begin(&self, campaign: CampaignId, count: usize, (table, path, body): (&str, &str, &str)) -> Outcome<Vec<String>> {
        const AT_ONCE: usize = 20_000;
        let mut redis = redis::Client::open(self.liebian.redis_url()?)?.get_multiplexed_async_connection().await?;
        let key = liebian::hot::program::key(campaign, table);
        for _ in 0..100 {
            let open: usize = redis::cmd("HLEN").arg(&key).query_async(&mut redis).await?;
            if open >= count {
                break;
            }
            let mut requests = Requests::new(self.directory.path(), "opens")?;
            for shopper in self.shoppers(AT_ONCE).await? {
                requests.post(path, &shopper.headers, body)?;
            }
            let seen = wrk::replay_all(&self.liebian.server.base, &requests.finish()?, self.args.connections, 1).await?;
            no_refusals(seen, path)?;
        }
        let mut begun: Vec<String> = redis::cmd("HKEYS").arg(&key).query_async(&mut redis).await?;
        begun.truncate(count);
        Ok(begun)
    }

    /// One request of a shopper.
    async fn once(&self, shopper: &Shopper, path: &str, body: &str) -> Outcome<Value> {
        let mut request = reqwest::Client::new().post(format!("{}{path}", self.liebian.server.base)).body(body.to_owned());
        for line in shopper.headers.lines().chain(["Content-Type: application/json"]) {
            let (name, value) = line.split_once(": ").ok_or("a header line")?;
            request = request.header(name, value);
        }
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Waits until SQL has what Redis has.
    async fn quiet(&self, campaign: CampaignId) -> Outcome<()> {
        let mut redis = redis::Client::open(self.liebian.redis_url()?)?.get_multiplexed_async_connection().await?;
        let key = liebian::hot::program::key(campaign, "meta");
        let until = Instant::now() + Duration::from_mins(3);
        while Instant::now() < until {
            let seq: i64 = redis::cmd("HGET").arg(&key).arg("seq").query_async(&mut redis).await?;
            let row = fetch_one!(&self.store, (i64,), "SELECT seq FROM cursors WHERE campaign_id = $1", campaign.to_string())?;
            if row.0 >= seq {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("SQL does not catch up".into())
    }

    async fn audit(&self, campaign: CampaignId) -> Outcome<()> {
        let audit = self.liebian.post(&format!("/operator/v1/campaigns/{campaign}/audit"), &json!({})).await?;
        if audit["ok"] == true { Ok(()) } else { Err(format!("the audit found something: {audit}").into()) }
    }
}

fn no_refusals(seen: Seen, what: &str) -> Outcome<f64> {
    if seen.refused == 0 {
        Ok(seen.per_second)
    } else {
        Err(format!("{} of {} answers of {what} were refusals", seen.refused, seen.answers).into())
    }
}
