//! The operator's routes: rewards, bonds and their correction by hand, the tree of invitations.

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};

use super::PROGRAM;
use super::ops::{self, Bound, Decided};
use super::records::{self, Bond, Branch, Filter, name};
use super::teller::Of;
use crate::app::App;
use crate::campaign::live::{self, existing};
use crate::clock::UnixMs;
use crate::code::Code;
use crate::http::answer;
use crate::http::body::Json;
use crate::http::caller::{Editor, Operator, Viewer};
use crate::http::csv::{self, Table, WantsCsv};
use crate::http::extract::{Id, Query};
use crate::http::idempotency;
use crate::http::page::{List, Page, bound, id_or_any, sku};
use crate::http::problem::Problem;
use crate::id::{CampaignId, UserId};
use crate::identity::users;
use crate::money::Fen;
use crate::operator::reason;

/// The longest number of an order that is asked for.
const MAX_NUMBER: usize = 64;
/// So many of the second level are shown of each of the first.
const SECOND: i64 = 20;
/// So many changes of a bond are shown.
const CHANGES: i64 = 20;

/// Where a reward stands, as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RewardState)]
pub enum State {
    /// The freeze is not over.
    Frozen,
    /// The freeze is over.
    Available,
    /// It is looked into first.
    Held,
    /// All of it went back.
    Reversed,
    /// Never granted: it did not fit into a budget.
    Refused,
}

impl State {
    const ALL: [Self; 5] = [Self::Frozen, Self::Available, Self::Held, Self::Reversed, Self::Refused];

    const fn word(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Available => "available",
            Self::Held => "held",
            Self::Reversed => "reversed",
            Self::Refused => "refused",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// A reward as operators see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RewardRecord {
    /// Its id.
    #[schema(example = "reward_0123456789abcdef01234567")]
    id: String,
    /// The campaign.
    campaign_id: CampaignId,
    /// The order that earned it: ours, or the shop's own number.
    #[schema(example = "SO-20261122-0001")]
    order_number: String,
    /// 1: the buyer's inviter, 2: that one's inviter.
    #[schema(minimum = 1, maximum = 2, example = 1)]
    level: i64,
    /// What was granted, or was not.
    amount_fen: Fen,
    /// What of it went back with refunds.
    reversed_fen: Fen,
    /// Where it stands.
    state: State,
    /// Why it was refused: `over_budget`, `over_daily_budget`; else null.
    #[schema(required = true, example = json!(null))]
    reason: Option<String>,
    /// Whom it rewards.
    user_id: UserId,
    /// Who bought.
    buyer_id: UserId,
    /// When the freeze is over; null before the goods were handed over.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    available_at: Option<UnixMs>,
    /// The version of the definition it was granted under.
    #[schema(example = 1)]
    definition_version: i64,
    /// When it was granted or refused.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: UnixMs,
    /// When it last changed.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: UnixMs,
}

impl From<records::Reward> for RewardRecord {
    fn from(row: records::Reward) -> Self {
        Self {
            state: State::from_word(&row.state).unwrap_or(State::Frozen),
            id: row.id,
            campaign_id: row.campaign_id,
            order_number: row.order_number,
            level: row.level,
            amount_fen: row.amount_fen,
            reversed_fen: row.reversed_fen,
            reason: row.reason,
            user_id: row.user_id,
            buyer_id: row.buyer_id,
            available_at: row.available_at,
            definition_version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// What the list of rewards shows as CSV.
const REWARD_COLUMNS: &[&str] = &[
    "id",
    "campaign_id",
    "order_number",
    "level",
    "amount_fen",
    "reversed_fen",
    "state",
    "reason",
    "user_id",
    "buyer_id",
    "available_at",
    "definition_version",
    "created_at",
    "updated_at",
];

/// Which rewards to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct RewardQuery {
    /// Only in this state; those refused are shown only when asked for.
    #[param(inline, required = false, nullable = false)]
    state: Option<State>,
    /// Only of this shopper.
    #[param(inline, required = false, nullable = false)]
    user_id: Option<UserId>,
    /// Only of this order.
    #[param(required = false, nullable = false, pattern = "^[!-~]{1,64}$")]
    order_number: Option<String>,
    /// Only of orders of this item.
    #[param(required = false, nullable = false, pattern = "^[0-9A-Za-z._:+-]{1,64}$")]
    #[serde(default, deserialize_with = "sku")]
    sku: Option<String>,
    /// Granted at this time or later.
    #[param(required = false, nullable = false, format = DateTime)]
    from: Option<String>,
    /// Granted before this time.
    #[param(required = false, nullable = false, format = DateTime)]
    to: Option<String>,
}

/// A campaign's rewards, newest first; with `Accept: text/csv` all of them.
#[utoipa::path(tag = "operator: running", operation_id = "list_rewards", security(("operator" = ["viewer"])),
    params(("id" = CampaignId, Path), RewardQuery, Page),
    responses((status = 200, description = "A page, or all as CSV", content((List<RewardRecord> = "application/json"), (String = "text/csv")))))]
#[get("/operator/v1/campaigns/{id}/rewards")]
pub async fn list_rewards(
    app: Data<App>,
    _operator: Operator<Viewer>,
    id: Id<CampaignId>,
    query: Query<RewardQuery>,
    page: Page,
    csv: WantsCsv,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let (from, to) = (bound("from", query.from.as_deref(), 0)?, bound("to", query.to.as_deref(), i64::MAX)?);
    let order = query.order_number;
    if order.as_deref().is_some_and(|number| !is_number(number)) {
        return Err(Problem::invalid("order_number", format!("must be 1 to {MAX_NUMBER} visible characters")));
    }
    let order = order.unwrap_or_default();
    let state = query.state.map(|state| state.word().to_owned()).unwrap_or_default();
    let filter = Filter { state, user: id_or_any(query.user_id), order, sku: query.sku.unwrap_or_default(), from, to };
    existing(&app, id.0).await?;
    app.projector.all_caught_up().await;
    app.teller.caught_up(Of::Campaign(id.0)).await;
    let place = |record: &RewardRecord| (record.created_at.get(), record.id.clone());
    let rows = move |(before, before_id): (i64, String), fetch| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            let rows = records::rewards_in(&app.store, id.0, &filter, (before, &before_id), fetch).await?;
            Ok(rows.into_iter().map(RewardRecord::from).collect())
        }
    };
    csv::answer(csv, &page, Table { name: "rewards", columns: REWARD_COLUMNS, place }, rows).await
}

/// Whether an order, ours or the shop's, can have this number.
fn is_number(text: &str) -> bool {
    (1..=MAX_NUMBER).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A bond as operators see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BondRecord {
    /// The campaign.
    campaign_id: CampaignId,
    /// The invited.
    user_id: UserId,
    /// The invited's masked name.
    #[schema(example = "李**")]
    name: String,
    /// Who invited.
    inviter_id: UserId,
    /// The inviter's masked name.
    #[schema(example = "张**")]
    inviter: String,
    /// Since when it holds.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    bound_at: UnixMs,
    /// Until when it holds, or held; null: for ever.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    expires_at: Option<UnixMs>,
    /// The version of the definition it was made under.
    #[schema(example = 1)]
    definition_version: i64,
}

/// What the list of bonds shows as CSV.
const BOND_COLUMNS: &[&str] = &["campaign_id", "user_id", "name", "inviter_id", "inviter", "bound_at", "expires_at", "definition_version"];

/// Which bonds to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct BondQuery {
    /// Only of this shopper, as the invited.
    #[param(inline, required = false, nullable = false)]
    user_id: Option<UserId>,
    /// Only of this shopper, as the inviter.
    #[param(inline, required = false, nullable = false)]
    inviter_id: Option<UserId>,
    /// Made at this time or later.
    #[param(required = false, nullable = false, format = DateTime)]
    from: Option<String>,
    /// Made before this time.
    #[param(required = false, nullable = false, format = DateTime)]
    to: Option<String>,
}

/// A campaign's bonds, newest first, those past their time too; with `Accept: text/csv` all of them.
#[utoipa::path(tag = "operator: running", operation_id = "list_bonds", security(("operator" = ["viewer"])),
    params(("id" = CampaignId, Path), BondQuery, Page),
    responses((status = 200, description = "A page, or all as CSV", content((List<BondRecord> = "application/json"), (String = "text/csv")))))]
#[get("/operator/v1/campaigns/{id}/bonds")]
pub async fn list_bonds(
    app: Data<App>,
    _operator: Operator<Viewer>,
    id: Id<CampaignId>,
    query: Query<BondQuery>,
    page: Page,
    csv: WantsCsv,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let span = (bound("from", query.from.as_deref(), 0)?, bound("to", query.to.as_deref(), i64::MAX)?);
    let (user, inviter) = (id_or_any(query.user_id), id_or_any(query.inviter_id));
    existing(&app, id.0).await?;
    app.projector.caught_up(id.0).await;
    let rows = move |(before, before_id): (i64, String), fetch| {
        let (app, user, inviter) = (app.clone(), user.clone(), inviter.clone());
        async move {
            let rows = records::bonds_in(&app.store, id.0, (&user, &inviter), span, (before, &before_id), fetch).await?;
            shown(&app, id.0, rows).await
        }
    };
    let place = |record: &BondRecord| (record.bound_at.get(), record.user_id.to_string());
    csv::answer(csv, &page, Table { name: "bonds", columns: BOND_COLUMNS, place }, rows).await
}

/// The bonds with masked names.
async fn shown(app: &App, campaign: CampaignId, rows: Vec<Bond>) -> Result<Vec<BondRecord>, Problem> {
    let users: Vec<UserId> = rows.iter().flat_map(|bond| [bond.user_id, bond.inviter_id]).collect();
    let names = app.names.of(&app.store, &users).await?;
    let record = |bond: Bond| BondRecord {
        campaign_id: campaign,
        user_id: bond.user_id,
        name: name(&names, bond.user_id),
        inviter_id: bond.inviter_id,
        inviter: name(&names, bond.inviter_id),
        bound_at: bond.bound_at,
        expires_at: bond.expires_at,
        definition_version: bond.version,
    };
    Ok(rows.into_iter().map(record).collect())
}

/// A bond to tie or to cut by hand.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBond {
    /// The invited.
    user_id: UserId,
    /// Who is to count as the inviter; null: nobody.
    // What is merely forgotten cuts no bond.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true)]
    inviter_id: Option<UserId>,
    /// Why, for the audit log; 1 to 200 characters. No place for personal data.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$",
        example = "Came by a printed code, confirmed by the shop"
    )]
    reason: String,
}

/// A user's bond after it was set by hand.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SetBondView {
    /// The bond that stands; null: none.
    #[schema(required = true)]
    bond: Option<BondRecord>,
}

/// Tie a shopper's bond to another inviter, or cut it. Neither touch, protection nor newcomers' rule is looked at; orders placed before keep their
/// attribution. What holds already changes nothing.
#[utoipa::path(tag = "operator: running", operation_id = "set_bond", params(("id" = CampaignId, Path)), request_body = SetBond,
    security(("operator" = ["editor"])), responses((status = 200, description = "The bond that stands", body = SetBondView)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::SelfInvite, Code::CampaignState, Code::BondCycle]))))]
#[post("/operator/v1/campaigns/{id}/bonds", wrap = "from_fn(idempotency::once)")]
pub async fn set_bond(
    app: Data<App>,
    operator: Operator<Editor>,
    id: Id<CampaignId>,
    body: Json<SetBond>,
) -> Result<HttpResponse, Problem> {
    let SetBond { user_id, inviter_id, reason: why } = body.0;
    let why = reason(&why)?;
    existing(&app, id.0).await?;
    for user in std::iter::once(user_id).chain(inviter_id) {
        // Who was erased can be cut loose, and invites nobody.
        let erased = Some(user) == inviter_id && app.revocations.is_erased(user);
        if erased || !users::exists(&app.store, user).await? {
            return Err(Problem::new(Code::NotFound).detail(format!("There is no {user}")));
        }
    }
    if !live::runs(&app, id.0, &PROGRAM).await? {
        return Err(Code::CampaignState.into());
    }
    let Decided { decision, place, replayed } = ops::set_bond(&app.engine, id.0, (user_id, inviter_id), (&operator.key.id, why)).await?;
    let place = place.ok_or_else(|| Problem::defect(&"an operator's op that was decided nowhere"))?;
    let at = answer::Decided { campaign: id.0, place, replayed };
    let Bound { bond, .. } = decision.map_err(|code| at.refuse(code.into()))?;
    app.projector.settled(id.0, place).await?;
    let bond = bond.and_then(|bond| {
        Some(Bond {
            user_id,
            inviter_id: UserId::from_hot(&bond.inviter).ok()?,
            bound_at: UnixMs::new(bond.bound_at),
            expires_at: (bond.expires_at > 0).then_some(UnixMs::new(bond.expires_at)),
            version: bond.version,
        })
    });
    let bond = shown(&app, id.0, bond.into_iter().collect()).await?.pop();
    Ok(at.json(StatusCode::OK, &SetBondView { bond }))
}

/// Whose tree.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct TreeQuery {
    /// The shopper at its top.
    #[param(inline)]
    user_id: UserId,
}

/// Somebody in a tree.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TreeUser {
    /// Who.
    user_id: UserId,
    /// The masked name.
    #[schema(example = "李**")]
    name: String,
    /// Since when they are bound.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    bound_at: UnixMs,
    /// How many they have invited.
    #[schema(example = 3)]
    invited: i64,
}

/// Somebody of the first level, and whom they have invited.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TreeBranch {
    /// Who.
    #[serde(flatten)]
    user: TreeUser,
    /// The second level, newest first, at most 20; all of them stand in the tree of this user.
    invitees: Vec<TreeUser>,
}

/// A change of the bond at the top.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BondChange {
    /// Bound to whom from then on; null: to nobody.
    #[schema(required = true)]
    inviter_id: Option<UserId>,
    /// Bound to whom before; null: to nobody, or a bond past its time.
    #[schema(required = true)]
    previous_inviter_id: Option<UserId>,
    /// The operator's key; null: the shopper's own doing.
    #[schema(required = true)]
    actor: Option<String>,
    /// The operator's reason.
    #[schema(required = true)]
    reason: Option<String>,
    /// When.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    at: UnixMs,
}

/// The tree of invitations below a user, two levels deep, with what is above.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TreeView {
    /// Who is at its top.
    user_id: UserId,
    /// The masked name.
    #[schema(example = "张**")]
    name: String,
    /// The top's own bond.
    #[schema(required = true)]
    bond: Option<BondRecord>,
    /// The inviter's bond: two levels up.
    #[schema(required = true)]
    inviters_bond: Option<BondRecord>,
    /// The last 20 changes of the top's bond, newest first.
    history: Vec<BondChange>,
    /// The first level, newest first.
    items: Vec<TreeBranch>,
    /// Where the next page of the first level begins; null at the end.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// The tree of invitations below a shopper, two levels deep: those bound now.
#[utoipa::path(tag = "operator: running", operation_id = "get_tree", security(("operator" = ["viewer"])),
    params(("id" = CampaignId, Path), TreeQuery, Page), responses((status = 200, description = "The tree", body = TreeView)))]
#[get("/operator/v1/campaigns/{id}/tree")]
pub async fn tree(
    app: Data<App>,
    _operator: Operator<Viewer>,
    id: Id<CampaignId>,
    page: Page,
    query: Query<TreeQuery>,
) -> Result<HttpResponse, Problem> {
    let user_id = query.0.user_id;
    existing(&app, id.0).await?;
    if !users::exists(&app.store, user_id).await? {
        return Err(Code::NotFound.into());
    }
    app.projector.caught_up(id.0).await;
    let now = app.clock.now();
    let above = records::bond_of(&app.store, id.0, user_id, now).await?;
    let second_above = match &above {
        Some(bond) => records::bond_of(&app.store, id.0, bond.inviter_id, now).await?,
        None => None,
    };
    let rows = records::invited_by(&app.store, id.0, (user_id, now), page.before(), page.fetch()).await?;
    let List { items: first, next_cursor } = page.list(rows, |Branch { bond, .. }| (bond.bound_at.get(), bond.user_id.to_string()));
    let mut branches = Vec::with_capacity(first.len());
    for branch in first {
        let below = match branch.invited {
            0 => Vec::new(),
            _ => records::invited_by(&app.store, id.0, (branch.bond.user_id, now), (i64::MAX, ""), SECOND).await?,
        };
        branches.push((branch, below));
    }
    let mut users = vec![user_id];
    users.extend(branches.iter().flat_map(|(branch, below)| std::iter::once(branch).chain(below)).map(|branch| branch.bond.user_id));
    let names = app.names.of(&app.store, &users).await?;
    let in_tree = |Branch { bond, invited }: Branch| TreeUser {
        user_id: bond.user_id,
        name: name(&names, bond.user_id),
        bound_at: bond.bound_at,
        invited,
    };
    let items = branches
        .into_iter()
        .map(|(branch, below)| TreeBranch { user: in_tree(branch), invitees: below.into_iter().map(in_tree).collect() })
        .collect();
    let history = records::history(&app.store, id.0, user_id, CHANGES).await?;
    let change = |change: records::Change| BondChange {
        inviter_id: change.inviter_id,
        previous_inviter_id: change.previous_id,
        actor: change.actor,
        reason: change.reason,
        at: change.at,
    };
    Ok(HttpResponse::Ok().json(TreeView {
        user_id,
        name: name(&names, user_id),
        bond: shown(&app, id.0, above.into_iter().collect()).await?.pop(),
        inviters_bond: shown(&app, id.0, second_above.into_iter().collect()).await?.pop(),
        history: history.into_iter().map(change).collect(),
        items,
        next_cursor,
    }))
}
