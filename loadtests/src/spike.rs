//! A spike: shoppers open rooms, fill them and pay, as fast as the server lets them; then the campaign is audited.
//!
//! Bounded in time and count, and only against this machine. The last line is one JSON object.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::Outcome;

/// How large a spike.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server; only an address of this machine is accepted
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    base: String,
    /// An operator key with the role editor
    #[arg(long)]
    operator_key: String,
    /// Rooms to open, at most 100,000
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rooms: u32,
    /// Seats in a room, 2 to 200
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=200))]
    size: u32,
    /// Requests under way at once
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    clients: u16,
    /// Rooms whose members also pay
    #[arg(long, default_value_t = 100)]
    paid_rooms: u32,
    /// Ends the run however far it is, in seconds
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=1_800))]
    at_most_seconds: u64,
}

/// What shoppers carry.
#[derive(Clone)]
struct Shopper {
    session: String,
    device: String,
}

/// The server under load.
struct Server {
    http: reqwest::Client,
    base: String,
    key: String,
    clients: usize,
}

/// How a phase went.
struct Phase {
    name: &'static str,
    answers: usize,
    wrong: usize,
    per_second: u64,
    p50_ms: u64,
    p99_ms: u64,
}

impl Server {
    async fn post(&self, path: &str, bearer: &str, device: &str, body: &Value) -> Outcome<(u16, Value)> {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(bearer).header("x-device-token", device).json(body);
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.unwrap_or(Value::Null)))
    }

    async fn operator(&self, path: &str, body: &Value) -> Outcome<Value> {
        let (status, answer) = self.post(path, &self.key, "", body).await?;
        if status >= 400 { Err(format!("{path}: {status} {answer}").into()) } else { Ok(answer) }
    }

    async fn shopper(&self, number: usize) -> Outcome<Shopper> {
        let signals = json!({"signals": {"install_id": format!("load-{}-{number}", std::process::id())}});
        let device = text(&self.post("/v1/devices", "", "", &signals).await?.1, "device_token")?;
        let login = json!({"provider": "sandbox", "code": format!("load-{}-{number}", std::process::id()), "display_name": "Load"});
        let session = text(&self.post("/v1/sessions", "", "", &login).await?.1, "session_token")?;
        Ok(Shopper { session, device })
    }

    /// Sends all `calls`, so many at once; answers the bodies in order (null where the status was not `expected`).
    async fn phase(
        self: &Arc<Self>,
        name: &'static str,
        calls: Vec<(String, Shopper, Value)>,
        expected: u16,
    ) -> Outcome<(Vec<Value>, Phase)> {
        let bar = progress(name, calls.len());
        let begin = Instant::now();
        let answered = futures_util::stream::iter(calls.into_iter().map(|(path, shopper, body)| {
            let (server, bar) = (Arc::clone(self), bar.clone());
            async move {
                let begin = Instant::now();
                let answer = server.post(&path, &shopper.session, &shopper.device, &body).await;
                bar.inc(1);
                (begin.elapsed(), answer)
            }
        }))
        .buffered(self.clients)
        .collect::<Vec<_>>()
        .await;
        let took = begin.elapsed();
        bar.finish_and_clear();
        let mut times = Histogram::<u64>::new(3)?;
        let (mut bodies, mut wrong) = (Vec::with_capacity(answered.len()), 0);
        for (time, answer) in answered {
            times.record(u64::try_from(time.as_micros())?)?;
            match answer {
                Ok((status, body)) if status == expected => bodies.push(body),
                _ => {
                    wrong += 1;
                    bodies.push(Value::Null);
                }
            }
        }
        let per_second = u64::try_from(bodies.len() as u128 * 1000 / took.as_millis().max(1))?;
        let ms = |quantile| times.value_at_quantile(quantile) / 1000;
        Ok((bodies, Phase { name, answers: times.len() as usize, wrong, per_second, p50_ms: ms(0.5), p99_ms: ms(0.99) }))
    }
}

fn progress(name: &'static str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:8} {bar:40} {pos}/{len} {per_sec}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length as u64).with_style(style).with_message(name)
}

fn text(value: &Value, field: &str) -> Outcome<String> {
    value.get(field).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("no {field} in {value}").into())
}

/// A load test is for one's own machine.
fn only_here(base: &str) -> Outcome<()> {
    let url: reqwest::Url = base.parse()?;
    let host = url.host_str().unwrap_or_default();
    let here = host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if here { Ok(()) } else { Err(format!("{host} is not this machine").into()) }
}

/// Runs the spike and prints its table.
pub async fn main(args: Args) -> Outcome<()> {
    only_here(&args.base)?;
    match tokio::time::timeout(Duration::from_secs(args.at_most_seconds), run(args)).await {
        Ok(done) => done,
        Err(_) => Err("ended: the time is over".into()),
    }
}

async fn run(args: Args) -> Outcome<()> {
    let server = Arc::new(Server {
        http: reqwest::Client::builder().pool_max_idle_per_host(usize::from(args.clients)).build()?,
        base: args.base.trim_end_matches('/').to_owned(),
        key: args.operator_key.clone(),
        clients: usize::from(args.clients),
    });
    let campaign = publish(&server, &args).await?;
    let (rooms, size) = (args.rooms as usize, args.size as usize);
    let shoppers = shoppers(&server, rooms * size).await?;
    let mut phases = Vec::new();

    let open = |shopper: &Shopper| (format!("/v1/campaigns/{campaign}/rooms"), shopper.clone(), json!({"sku": "load", "quantity": 1}));
    let (seats, phase) = server.phase("open", shoppers.iter().take(rooms).map(open).collect(), 201).await?;
    phases.push(phase);
    let ids: Vec<String> = seats.iter().filter_map(|seat| seat.pointer("/room/id")?.as_str().map(str::to_owned)).collect();
    let mut orders: Vec<(String, Shopper)> =
        seats.iter().zip(&shoppers).filter_map(|(seat, who)| Some((order(seat)?, who.clone()))).collect();

    let joiners = &shoppers[rooms..];
    let join = |(shopper, room): (&Shopper, &String)| (format!("/v1/rooms/{room}/members"), shopper.clone(), json!({"quantity": 1}));
    let (seats, phase) = server.phase("join", joiners.iter().zip(ids.iter().cycle()).map(join).collect(), 201).await?;
    phases.push(phase);
    orders.extend(seats.iter().zip(joiners).filter_map(|(seat, who)| Some((order(seat)?, who.clone()))));

    // Seats were handed out round by round, so the first so many of each round are the same rooms.
    let paying = orders.iter().enumerate().filter(|(place, _)| place % rooms < args.paid_rooms as usize);
    let pay = |(_, (order, who)): (usize, &(String, Shopper))| (format!("/v1/sandbox/orders/{order}/pay"), who.clone(), json!({}));
    let (_, phase) = server.phase("pay", paying.map(pay).collect(), 200).await?;
    phases.push(phase);
    report(&phases, &server.operator(&format!("/operator/v1/campaigns/{campaign}/audit"), &json!({})).await?)
}

fn order(seat: &Value) -> Option<String> {
    seat.pointer("/order/id")?.as_str().map(str::to_owned)
}

async fn publish(server: &Server, args: &Args) -> Outcome<String> {
    let definition = json!({
        "kind": "group_buy", "title": "Load test", "surface": "web", "rules_text": "A campaign that a load test made for itself and audits.",
        "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z",
        "items": [{"sku": "load", "title": "Load", "list_price_fen": 200, "stock": args.rooms * args.size,
                   "tiers": [{"size": args.size, "price_fen": 100}]}],
    });
    let id = text(&server.operator("/operator/v1/campaigns", &definition).await?, "id")?;
    server.operator(&format!("/operator/v1/campaigns/{id}/publish"), &json!({})).await?;
    Ok(id)
}

async fn shoppers(server: &Arc<Server>, count: usize) -> Outcome<Vec<Shopper>> {
    let bar = progress("shoppers", count);
    let made = futures_util::stream::iter((0..count).map(|number| {
        let (server, bar) = (Arc::clone(server), bar.clone());
        async move {
            let shopper = server.shopper(number).await;
            bar.inc(1);
            shopper
        }
    }))
    .buffered(server.clients)
    .collect::<Vec<_>>()
    .await;
    bar.finish_and_clear();
    made.into_iter().collect()
}

fn report(phases: &[Phase], audit: &Value) -> Outcome<()> {
    println!("{:8} {:>9} {:>7} {:>9} {:>7} {:>7}", "phase", "answers", "wrong", "per s", "p50 ms", "p99 ms");
    for phase in phases {
        let Phase { name, answers, wrong, per_second, p50_ms, p99_ms } = phase;
        println!("{name:8} {answers:>9} {wrong:>7} {per_second:>9} {p50_ms:>7} {p99_ms:>7}");
    }
    let ok = audit.get("ok").and_then(Value::as_bool).unwrap_or(false);
    for check in audit.get("checks").and_then(Value::as_array).into_iter().flatten() {
        println!(
            "{} {:28} {}",
            if check["ok"] == true { "ok   " } else { "WRONG" },
            check["name"].as_str().unwrap_or(""),
            check["detail"].as_str().unwrap_or("")
        );
    }
    let rates: serde_json::Map<String, Value> =
        phases.iter().map(|phase| (format!("{}_per_s", phase.name), phase.per_second.into())).collect();
    println!("{}", json!({"rates": rates, "wrong": phases.iter().map(|phase| phase.wrong).sum::<usize>(), "audit_ok": ok}));
    if ok { Ok(()) } else { Err("the audit found something wrong".into()) }
}
