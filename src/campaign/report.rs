//! The numbers of a campaign.
//!
//! Each is an aggregate that SQL makes in one pass over the campaign's orders, rooms or links; nothing is read row by row here, and no more
//! than `AT_ONCE` reports are made at once. Telling people apart takes longest (seconds, of a million orders), so where it takes longer than
//! `SHORT` it is done at most once in `PATIENCE` times as long.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::desk::{StockView, stock_view};
use super::live::{self, existing};
use super::model::Kind;
use super::records::{Record, RecordState};
use crate::app::App;
use crate::bargain::records::{ChainFigures, figures};
use crate::code::Code;
use crate::http::caller::{Operator, Viewer};
use crate::http::extract::Id;
use crate::http::problem::Problem;
use crate::id::CampaignId;
use crate::money::Fen;
use crate::referral::figures::{ReferralFigures, figures as count_referral};
use crate::store::{StoreError, fetch_all, fetch_one};

/// Reports of one process at once: each may look at every order of a campaign.
const AT_ONCE: usize = 2;

/// People who are counted so fast are counted for every report.
const SHORT: Duration = Duration::from_millis(250);
/// Others are counted again after so many times as long as it took.
const PATIENCE: u32 = 20;
/// Campaigns whose people are remembered; then all are forgotten.
const KEPT: usize = 1_000;

/// What reports share.
#[derive(Debug)]
pub struct Reports {
    turns: Semaphore,
    /// Counted people, until when they may be told.
    people: Mutex<HashMap<CampaignId, (People, Instant)>>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), people: Mutex::default() }
    }
}

/// Shoppers with an order, those who paid one, and those of them who had paid nothing before.
type People = (i64, i64, i64);

/// The numbers of a campaign.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CampaignReport)]
pub struct Report {
    /// The campaign.
    campaign_id: CampaignId,
    /// Where it is in its life.
    state: RecordState,
    /// Its items' units.
    stock: Vec<StockView>,
    /// Rooms by state.
    #[schema(example = json!({"formed": 115, "open": 12}))]
    rooms: BTreeMap<String, i64>,
    /// How long formed rooms took from opening to forming, on average; null while none has formed.
    #[schema(required = true, example = 5400)]
    average_fill_seconds: Option<i64>,
    /// Chains in figures, of a bargain; else null.
    #[schema(required = true)]
    chains: Option<ChainFigures>,
    /// Bonds and rewards, of a referral programme; else null.
    #[schema(required = true)]
    referral: Option<ReferralFigures>,
    /// Orders by state.
    #[schema(example = json!({"confirmed": 345, "released": 20}))]
    orders: BTreeMap<String, i64>,
    /// Units in orders that are paid and not sent back.
    #[schema(example = 345)]
    units_sold: i64,
    /// Shoppers with an order.
    #[schema(example = 352)]
    shoppers: i64,
    /// Shoppers who paid one.
    #[schema(example = 345)]
    buyers: i64,
    /// Those of them who had paid nothing before, in no campaign.
    #[schema(example = 120)]
    newcomers: i64,
    /// All money that came in.
    paid_fen: Fen,
    /// All money that went back.
    refunded_fen: Fen,
    /// What came in and is neither back nor on its way back.
    kept_fen: Fen,
    /// What paid orders cost less than at list prices, after what went back of them.
    discount_fen: Fen,
    /// The most that may be given away; null: no bound.
    #[schema(required = true)]
    loss_budget_fen: Option<Fen>,
    /// What living orders give away, as the loss budget counts it: held ones too, at the lowest price they may get. Null without a budget.
    #[schema(required = true)]
    loss_fen: Option<Fen>,
    /// From links to orders.
    funnel: Funnel,
    /// Visits of its share links.
    #[schema(example = 2900)]
    share_visits: i64,
}

/// From links to orders. The link that an order came by is not known; the figures stand side by side.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CampaignFunnel)]
struct Funnel {
    /// Shoppers who made a link.
    #[schema(example = 80)]
    sharers: i64,
    /// Links.
    #[schema(example = 130)]
    shares: i64,
    /// Visits of links.
    #[schema(example = 2900)]
    visits: i64,
    /// Orders placed.
    #[schema(example = 365)]
    orders: i64,
    /// Orders paid.
    #[schema(example = 345)]
    paid_orders: i64,
    /// Paid orders of 10,000 visits; null without visits.
    #[schema(required = true, example = 1189)]
    conversion_basis_points: Option<i64>,
}

/// Orders of one item in one state: sku, state, number, number ever paid, units, amount, paid, to be sent back, sent back.
type OrderSum = (String, String, i64, i64, i64, i64, i64, i64, i64);

/// Whether orders of this state have bought their units.
fn bought(state: &str) -> bool {
    ["paid", "confirmed", "fulfilled"].contains(&state)
}

/// The state shoppers see.
fn shown(state: &str) -> &str {
    if ["held", "closing"].contains(&state) { "awaiting_payment" } else { state }
}

/// What SQL says.
struct Sums {
    orders: Vec<OrderSum>,
    rooms: Vec<(String, i64, i64)>,
    people: People,
    shares: i64,
    sharers: i64,
    visits: i64,
}

/// Counts a campaign's people, or tells those counted a moment ago.
async fn people(app: &App, id: CampaignId) -> Result<People, StoreError> {
    const PEOPLE: &str = "SELECT COUNT(*), COUNT(first_paid), CAST(COALESCE(SUM(CASE WHEN first_paid IS NOT NULL AND NOT EXISTS (SELECT 1 \
                          FROM orders earlier WHERE earlier.user_id = buyers.user_id AND earlier.campaign_id <> $1 \
                          AND earlier.paid_at < buyers.first_paid) THEN 1 ELSE 0 END), 0) AS BIGINT) \
                          FROM (SELECT user_id, MIN(paid_at) AS first_paid FROM orders WHERE campaign_id = $1 GROUP BY user_id) AS buyers";
    let began = Instant::now();
    let known = app.reports.people.lock().ok().and_then(|known| known.get(&id).copied());
    if let Some((people, _)) = known.filter(|(_, until)| began < *until) {
        return Ok(people);
    }
    let people = fetch_one!(&app.store, People, PEOPLE, id)?;
    let took = began.elapsed();
    if took > SHORT
        && let Ok(mut known) = app.reports.people.lock()
    {
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(id, (people, Instant::now() + took * PATIENCE));
    }
    Ok(people)
}

impl Sums {
    async fn read(app: &App, id: CampaignId) -> Result<Self, StoreError> {
        const ORDERS: &str = "SELECT sku, state, COUNT(*), COUNT(paid_at), CAST(SUM(quantity) AS BIGINT), CAST(SUM(amount_fen) AS BIGINT), \
                              CAST(SUM(paid_fen) AS BIGINT), CAST(SUM(refund_due_fen) AS BIGINT), CAST(SUM(refunded_fen) AS BIGINT) \
                              FROM orders WHERE campaign_id = $1 GROUP BY sku, state";
        // A room's last change is its end.
        const ROOMS: &str =
            "SELECT state, COUNT(*), CAST(SUM(updated_at - created_at) AS BIGINT) FROM rooms WHERE campaign_id = $1 GROUP BY state";
        const SHARES: &str = "SELECT COUNT(*), COUNT(DISTINCT sharer_user_id), CAST(COALESCE(SUM(visits), 0) AS BIGINT) FROM shares \
                              WHERE campaign_id = $1";
        let (shares, by_users, visits) = fetch_one!(&app.store, (i64, i64, i64), SHARES, id)?;
        Ok(Self {
            orders: fetch_all!(&app.store, OrderSum, ORDERS, id)?,
            rooms: fetch_all!(&app.store, (String, i64, i64), ROOMS, id)?,
            people: people(app, id).await?,
            shares,
            sharers: by_users,
            visits,
        })
    }

    fn over<'s>(&'s self, of: impl Fn(&'s OrderSum) -> i64) -> i64 {
        self.orders.iter().fold(0, |sum, row| sum.saturating_add(of(row)))
    }

    /// What paid orders cost less than at list prices.
    fn discount(&self, record: &Record) -> i64 {
        let items = record.definition.items();
        self.over(|row| {
            let list = items.iter().find(|item| item.sku == row.0).map_or(0, |item| item.list_price_fen.get());
            if bought(&row.1) { list.saturating_mul(row.4).saturating_sub(row.6.saturating_sub(row.7)) } else { 0 }
        })
    }

    fn funnel(&self) -> Funnel {
        let paid_orders = self.over(|row| row.3);
        Funnel {
            sharers: self.sharers,
            shares: self.shares,
            visits: self.visits,
            orders: self.over(|row| row.2),
            paid_orders,
            conversion_basis_points: paid_orders.saturating_mul(10_000).checked_div(self.visits),
        }
    }
}

/// The numbers of a campaign.
#[utoipa::path(tag = "operator: running", operation_id = "get_report", params(("id" = CampaignId, Path)), security(("operator" = ["viewer"])),
    responses((status = 200, description = "The figures", body = Report)))]
#[get("/operator/v1/campaigns/{id}/report")]
pub async fn show_report(app: Data<App>, _operator: Operator<Viewer>, id: Id<CampaignId>) -> Result<HttpResponse, Problem> {
    let record = existing(&app, id.0).await?;
    app.projector.caught_up(id.0).await;
    let turn = app.reports.turns.acquire().await.map_err(|_closed| Code::Overloaded)?;
    let sums = Sums::read(&app, id.0).await?;
    let chains = match record.definition.kind() {
        Kind::Bargain => Some(figures(&app.store, id.0).await?),
        Kind::GroupBuy | Kind::Referral => None,
    };
    let referral = match record.definition.referral() {
        Some(own) => Some(count_referral(&app, id.0, (own.budget_fen, own.daily_budget_fen)).await?),
        None => None,
    };
    drop(turn);
    let live = live::read(&app, id.0, None).await?;
    let loss_budget_fen = record.definition.group_buy().and_then(|own| own.loss_budget_fen);
    let mut orders = BTreeMap::new();
    for row in &sums.orders {
        *orders.entry(shown(&row.1).to_owned()).or_insert(0) += row.2;
    }
    let formed = sums.rooms.iter().find(|(state, ..)| state == "formed");
    let (shoppers, buyers, newcomers) = sums.people;
    let (paid, back) = (sums.over(|row| row.6), sums.over(|row| row.7));
    Ok(HttpResponse::Ok().json(Report {
        campaign_id: id.0,
        state: record.state,
        average_fill_seconds: formed.and_then(|(_, count, ms)| (ms / 1000).checked_div(*count)),
        rooms: sums.rooms.iter().map(|(state, count, _)| (state.clone(), *count)).collect(),
        chains,
        referral,
        orders,
        units_sold: sums.over(|row| if bought(&row.1) { row.4 } else { 0 }),
        shoppers,
        buyers,
        newcomers,
        paid_fen: Fen::new(paid),
        refunded_fen: Fen::new(sums.over(|row| row.8)),
        kept_fen: Fen::new(paid.saturating_sub(back)),
        discount_fen: Fen::new(sums.discount(&record)),
        loss_budget_fen,
        loss_fen: live.as_ref().filter(|_| loss_budget_fen.is_some()).map(|live| Fen::new(live.status.loss)),
        stock: live.map(|live| live.stock.into_iter().map(|(sku, row)| stock_view(sku, &row)).collect()).unwrap_or_default(),
        share_visits: sums.visits,
        funnel: sums.funnel(),
    }))
}
