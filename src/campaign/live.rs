//! A published campaign in hot state: finding it, reading its numbers, putting definitions in force.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use super::model::{Bargain, BuyAt, Definition, GroupBuy, Kind, Referral, Reserve, ReserveStock, Rules as Written, Touch};
use super::ops::{PausedBy, Status, StatusRow, StockRow};
use super::records::{self, Record, RecordState};
use super::rules::{BargainItem, BargainLimits, BargainRules, Compiled, Item, Limits, ReferralRules, Rules, Tier};
use super::view::{CampaignLimits, CampaignNumbers, CampaignState, CampaignView, CampaignYou};
use crate::app::App;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::hot::row::{Layout, NotARow, Row};
use crate::hot::{Found, Place, Program, Read, Trouble};
use crate::http::problem::Problem;
use crate::id::{CampaignId, UserId};
use crate::money::Fen;
use crate::projector::cursor::Cursor;
use crate::referral::row::{BondRow, SpentRow};
use crate::store::{fetch_all, fetch_one};

/// Definitions kept in memory; then all are forgotten and read again as needed.
const KEPT: usize = 4_096;

/// Published definitions by campaign; a version never changes, so one read from SQL stays true.
#[derive(Debug, Default)]
pub struct Definitions {
    kept: RwLock<HashMap<CampaignId, Arc<Record>>>,
}

impl Definitions {
    /// The campaign's record with at least this version of its definition.
    ///
    /// # Errors
    /// When SQL does not answer.
    pub async fn get(&self, app: &App, campaign: CampaignId, version: i64) -> Result<Option<Arc<Record>>, Problem> {
        let kept = self.kept.read().ok().and_then(|kept| kept.get(&campaign).cloned());
        if let Some(record) = kept.filter(|record| record.version >= version) {
            return Ok(Some(record));
        }
        let Some(record) = records::find(&app.store, campaign).await? else { return Ok(None) };
        let record = Arc::new(record);
        if let Ok(mut kept) = self.kept.write() {
            if kept.len() >= KEPT {
                kept.clear();
            }
            kept.insert(campaign, Arc::clone(&record));
        }
        Ok(Some(record))
    }
}

/// Row `users` of hot state: what counts against a shopper's limits.
#[derive(Debug)]
struct UserRow {
    orders: i64,
    opened: i64,
}

/// Row `people` of hot state: the same of a bargain.
#[derive(Debug)]
struct PersonRow {
    started: i64,
    helps: i64,
    day: i64,
    today: i64,
}

impl Row for PersonRow {
    fn read(packed: &[u8]) -> Result<Self, NotARow> {
        let mut row = Layout::of(packed);
        Ok(Self { started: row.number(4)?, helps: row.number(4)?, day: row.number(4)?, today: row.number(4)? })
    }
}

/// What the caller has used of their allowances.
#[derive(Debug)]
enum Used {
    GroupBuy(UserRow),
    Bargain(PersonRow),
    Referral(BondRow),
}

/// Campaign days are days in China.
const CHINA_MS: i64 = 8 * 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// A shopper's four counters: a byte each, as text from 128 on.
///
/// # Errors
/// When they are none.
pub fn counters(packed: &[u8]) -> Result<[i64; 4], NotARow> {
    if let Ok(bytes) = <[u8; 4]>::try_from(packed) {
        return Ok(bytes.map(i64::from));
    }
    let text = str::from_utf8(packed).map_err(|_no_text| NotARow)?;
    let numbers: Vec<i64> = text.split(' ').map(str::parse).collect::<Result<_, _>>().map_err(|_no_number| NotARow)?;
    numbers.try_into().map_err(|_not_four| NotARow)
}

impl Row for UserRow {
    fn read(packed: &[u8]) -> Result<Self, NotARow> {
        let [orders, opened, _joined, _unpaid] = counters(packed)?;
        Ok(Self { orders, opened })
    }
}

/// A published campaign as hot state has it now.
#[derive(Debug)]
pub struct Live {
    /// The record in SQL.
    pub record: Arc<Record>,
    /// Status and room counters.
    pub status: StatusRow,
    /// Stock by SKU.
    pub stock: HashMap<String, StockRow>,
    /// Where this was read.
    pub place: Place,
    /// The engine's clock.
    pub now: UnixMs,
    /// Rewards granted that have not gone back, of a referral programme.
    granted: Fen,
    user: Option<Used>,
}

impl Live {
    /// The campaign's state for shoppers at its own clock.
    #[must_use]
    pub fn state(&self) -> CampaignState {
        let stored = match self.status.status {
            Status::Live => RecordState::Live,
            Status::Paused => RecordState::Paused,
            Status::Ended => RecordState::Ended,
        };
        stored.at(&self.record.definition, self.now).shown().unwrap_or(CampaignState::Ended)
    }

    /// What a shopper sees; `newcomer` says whether the caller never paid an order.
    #[must_use]
    pub fn view(&self, newcomer: Option<bool>) -> CampaignView {
        let stock = self.stock.iter().map(|(sku, row)| (sku.clone(), (row.put_in - row.returned, row.left, row.sold))).collect();
        let numbers = CampaignNumbers {
            state: self.state(),
            now: self.now,
            stock,
            rooms_open: self.status.rooms_open,
            rooms_formed: self.status.rooms_formed,
            switches: self.status.switches(),
            granted: self.granted,
        };
        let mut view = CampaignView::new(self.record.id, &self.record.definition, &numbers);
        view.you = newcomer.map(|newcomer| self.you(&view, newcomer));
        view
    }

    fn you(&self, view: &CampaignView, newcomer: bool) -> CampaignYou {
        match &view.limits {
            CampaignLimits::GroupBuy(most) => {
                let (orders, opened) = match &self.user {
                    Some(Used::GroupBuy(user)) => (user.orders, user.opened),
                    Some(Used::Bargain(_) | Used::Referral(_)) | None => (0, 0),
                };
                CampaignYou {
                    orders_left: Some((most.orders_per_user - orders).max(0)),
                    rooms_left: Some((most.rooms_opened_per_user - opened).max(0)),
                    ..CampaignYou::of(newcomer)
                }
            }
            CampaignLimits::Bargain(most) => {
                let (started, helps, today) = match &self.user {
                    Some(Used::Bargain(person)) if person.day == (self.now.get() + CHINA_MS).div_euclid(DAY_MS) => {
                        (person.started, person.helps, person.today)
                    }
                    Some(Used::Bargain(person)) => (person.started, person.helps, 0),
                    Some(Used::GroupBuy(_) | Used::Referral(_)) | None => (0, 0, 0),
                };
                let helps_left = (most.helps_per_campaign - helps).min(most.helps_per_day - today).max(0);
                CampaignYou {
                    chains_left: Some((most.chains_per_user - started).max(0)),
                    helps_left: Some(helps_left),
                    ..CampaignYou::of(newcomer)
                }
            }
            CampaignLimits::Referral(_) => CampaignYou::of(newcomer),
        }
    }

    /// The caller's living bond.
    #[must_use]
    pub fn bond(&self) -> Option<&BondRow> {
        match &self.user {
            Some(Used::Referral(bond)) if bond.lives(self.now.get()) => Some(bond),
            Some(Used::GroupBuy(_) | Used::Bargain(_) | Used::Referral(_)) | None => None,
        }
    }
}

/// The table of hot state that has a shopper's row in a campaign of this kind.
const fn table_of(kind: Kind) -> &'static str {
    match kind {
        Kind::GroupBuy => "users",
        Kind::Bargain => "people",
        Kind::Referral => "bonds",
    }
}

/// A campaign with its state as of now, or 404.
///
/// # Errors
/// 404, or when the database does not answer.
pub async fn existing(app: &App, id: CampaignId) -> Result<Record, Problem> {
    let record = records::find(&app.store, id).await?.ok_or(Code::NotFound)?;
    Ok(record.at(app.clock.now()))
}

/// Makes sure that a campaign has a lane here. `false`: it was never published, or its hot state is gone.
///
/// # Errors
/// When SQL does not answer.
pub async fn ensure(app: &App, campaign: CampaignId) -> Result<bool, Problem> {
    if app.engine.knows(campaign) {
        return Ok(true);
    }
    let Some(cursor) = Cursor::read(&app.store, campaign).await? else { return Ok(false) };
    let Some(program) = crate::app::program_of(&cursor.kind) else { return Ok(false) };
    if cursor.state == "archived" {
        return Ok(false);
    }
    app.engine.open(campaign, program);
    app.engine.fence(campaign, "first seen".into());
    Ok(true)
}

/// [`ensure`] of a campaign that runs on this program: what one kind has is nothing to another.
///
/// # Errors
/// When SQL does not answer.
pub async fn runs(app: &App, campaign: CampaignId, program: &Program) -> Result<bool, Problem> {
    Ok(ensure(app, campaign).await? && app.engine.runs(campaign, program))
}

/// A published campaign; `None` for drafts and unknown ones.
///
/// # Errors
/// Trouble of Redis or SQL.
pub async fn read(app: &App, campaign: CampaignId, user: Option<UserId>) -> Result<Option<Live>, Problem> {
    if !ensure(app, campaign).await? {
        return Ok(None);
    }
    let Some(record) = app.definitions.get(app, campaign, 0).await? else { return Ok(None) };
    let skus: Vec<String> = record.definition.items().iter().map(|item| item.sku.to_owned()).collect();
    let mut requests = vec![Read::Row("def", "status")];
    requests.extend(skus.iter().map(|sku| Read::Row("stock", sku)));
    let caller = user.map(|user| user.hot().to_owned());
    let kind = record.definition.kind();
    requests.extend((kind == Kind::Referral).then_some(Read::Row("spent", "rewards")));
    requests.extend(caller.iter().map(|user| Read::Row(table_of(kind), user)));
    let snapshot = app.engine.read(campaign, &requests).await?;
    let mut found = snapshot.found.into_iter();
    let Some(status) = row::<StatusRow>(found.next())? else { return Ok(None) };
    let mut stock = HashMap::new();
    for sku in skus {
        if let Some(row) = row(found.next())? {
            stock.insert(sku, row);
        }
    }
    let granted = match kind {
        Kind::Referral => row::<SpentRow>(found.next())?.map_or(Fen::ZERO, |spent| Fen::new(spent.total)),
        Kind::GroupBuy | Kind::Bargain => Fen::ZERO,
    };
    let user = match kind {
        Kind::GroupBuy => row(found.next())?.map(Used::GroupBuy),
        Kind::Bargain => row(found.next())?.map(Used::Bargain),
        Kind::Referral => row(found.next())?.map(Used::Referral),
    };
    let Some(record) = app.definitions.get(app, campaign, status.version).await? else { return Ok(None) };
    Ok(Some(Live { record, status, stock, place: snapshot.place, now: UnixMs::new(snapshot.now), granted, user }))
}

/// A published campaign as SQL has it: for lists, while its hot state is being brought back.
///
/// # Errors
/// When SQL does not answer.
pub async fn stored(app: &App, record: Record) -> Result<Live, Problem> {
    const STOCK: &str = "SELECT sku, put_in, left_units, held, sold, returned FROM stock WHERE campaign_id = $1";
    const ROOMS: &str = "SELECT CAST(COALESCE(SUM(CASE state WHEN 'open' THEN 1 ELSE 0 END), 0) AS BIGINT), \
                         CAST(COALESCE(SUM(CASE state WHEN 'formed' THEN 1 ELSE 0 END), 0) AS BIGINT) FROM rooms WHERE campaign_id = $1";
    const GRANTED: &str =
        "SELECT CAST(COALESCE(SUM(amount_fen - reversed_fen), 0) AS BIGINT) FROM rewards WHERE campaign_id = $1 AND state <> 'refused'";
    let stock = fetch_all!(&app.store, (String, i64, i64, i64, i64, i64), STOCK, record.id)?;
    let (rooms_open, rooms_formed) = fetch_one!(&app.store, (i64, i64), ROOMS, record.id)?;
    let granted = if record.definition.referral().is_some_and(|own| own.budget_fen.is_some()) {
        fetch_one!(&app.store, (i64,), GRANTED, record.id)?.0
    } else {
        0
    };
    let status = match record.state {
        RecordState::Paused => Status::Paused,
        RecordState::Ended | RecordState::Archived => Status::Ended,
        RecordState::Draft | RecordState::Scheduled | RecordState::Live => Status::Live,
    };
    let row = |(sku, put_in, left, held, sold, returned)| (sku, StockRow { put_in, left, held, sold, returned });
    Ok(Live {
        status: StatusRow {
            status,
            version: record.version,
            rooms_open,
            rooms_formed,
            rooms_failed: 0,
            paused_by: record.paused_by.unwrap_or(PausedBy::Nobody),
            open: i64::from(record.switches.open),
            join: i64::from(record.switches.join),
            loss: 0,
        },
        stock: stock.into_iter().map(row).collect(),
        place: Place { epoch: 0, seq: 0 },
        now: app.clock.now(),
        granted: Fen::new(granted),
        user: None,
        record: Arc::new(record),
    })
}

/// A row that was read, unpacked.
///
/// # Errors
/// A defect when it does not read.
pub fn row<T: Row>(found: Option<Found>) -> Result<Option<T>, Problem> {
    match found {
        Some(Found::Row(Some(packed))) => T::read(&packed).map(Some).map_err(|error| Trouble::Defect(error.to_string()).into()),
        Some(Found::Row(None) | Found::Rows(_)) | None => Ok(None),
    }
}

/// The rules that decisions need.
#[must_use]
pub fn compile(definition: &Definition, version: i64) -> Compiled {
    match &definition.rules {
        Written::GroupBuy(own) => Compiled::GroupBuy(group_buy(definition, own, version)),
        Written::Bargain(own) => Compiled::Bargain(bargain(definition, own, version)),
        Written::Referral(own) => Compiled::Referral(referral(definition, own, version)),
    }
}

fn referral(definition: &Definition, own: &Referral, version: i64) -> ReferralRules {
    ReferralRules {
        version,
        starts_at: definition.head.starts_at.get(),
        ends_at: definition.head.ends_at.get(),
        newcomers_only: own.bond.newcomers_only,
        first_touch: own.bond.touch == Touch::First,
        expires_after: own.bond.expires_after_seconds.map(|seconds| seconds.saturating_mul(1000)),
        protected: own.bond.protected_seconds.map(|seconds| seconds.saturating_mul(1000)),
        budget: own.budget_fen.map(Fen::get),
        daily_budget: own.daily_budget_fen.map(Fen::get),
        items: own.items.iter().map(|item| (item.sku.clone(), item.list_price_fen.get())).collect(),
    }
}

fn bargain(definition: &Definition, own: &Bargain, version: i64) -> BargainRules {
    let item = |item: &super::model::BargainItem| {
        (item.sku.clone(), BargainItem { start: item.list_price_fen.get(), floor: item.floor_price_fen.get() })
    };
    BargainRules {
        version,
        starts_at: definition.head.starts_at.get(),
        ends_at: definition.head.ends_at.get(),
        chain_ttl: own.chain_ttl_seconds.saturating_mul(1000),
        buy_ttl: own.buy_ttl_seconds.saturating_mul(1000),
        payment_ttl: own.payment_ttl_seconds.saturating_mul(1000),
        floor_only: own.buy_at == BuyAt::FloorPrice,
        reserve_at_start: own.reserve_stock == ReserveStock::AtStart,
        helpers: own.cuts.helpers,
        newcomer_cuts: own.cuts.newcomer_cuts,
        self_cuts: own.cuts.self_cuts,
        limits: BargainLimits {
            chains_per_user: own.limits.chains_per_user,
            helps_per_day: own.limits.helps_per_day,
            helps_per_campaign: own.limits.helps_per_campaign,
            users_per_device: own.limits.users_per_device,
        },
        items: own.items.iter().map(item).collect(),
    }
}

fn group_buy(definition: &Definition, own: &GroupBuy, version: i64) -> Rules {
    let item = |item: &super::model::GroupBuyItem| {
        let tiers = item.tiers.iter().map(|tier| Tier { size: tier.size, price: tier.price_fen.get() }).collect();
        let rules = Item {
            list: item.list_price_fen.get(),
            tiers,
            leader_price: item.leader_price_fen.map(Fen::get),
            solo_price: item.solo_price_fen.map(Fen::get),
            reserve_room: item.reserve == Reserve::Room,
        };
        (item.sku.clone(), rules)
    };
    Rules {
        version,
        starts_at: definition.head.starts_at.get(),
        ends_at: definition.head.ends_at.get(),
        room_ttl: own.room_ttl_seconds.saturating_mul(1000),
        payment_ttl: own.payment_ttl_seconds.saturating_mul(1000),
        list_rooms: own.list_rooms,
        accept_from: own.accept_from,
        newcomers_only: own.newcomers_only,
        limits: Limits {
            quantity_per_order: own.limits.quantity_per_order,
            orders_per_user: own.limits.orders_per_user,
            rooms_opened_per_user: own.limits.rooms_opened_per_user,
            rooms_joined_per_user: own.limits.rooms_joined_per_user,
            unpaid_per_user: own.limits.unpaid_per_user,
            users_per_device: own.limits.users_per_device,
        },
        loss_budget: own.loss_budget_fen.map(Fen::get),
        least_loss: own.least_loss().get(),
        items: own.items.iter().map(item).collect(),
    }
}

/// The units each item brings when the campaign is first published.
#[must_use]
pub fn first_stock(definition: &Definition) -> Vec<(String, i64)> {
    definition.items().iter().map(|item| (item.sku.to_owned(), item.stock)).collect()
}
