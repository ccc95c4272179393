//! What a shopper sees of a chain. Names are masked before they come here; no user id is in these types, and no seed of an open chain.

use serde::Serialize;

use super::row::{ChainRow, CutRow, ScheduleRow, State};
use super::schedule::Algorithm;
use crate::clock::UnixMs;
use crate::id::{CampaignId, ChainId, OrderId};
use crate::money::Fen;

/// One cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CutView {
    /// What it took off.
    #[schema(example = 3077)]
    pub amount_fen: Fen,
    /// How many steps that were.
    #[schema(minimum = 1, maximum = 200, example = 1)]
    pub steps: i64,
    /// The helper's masked name.
    #[schema(example = "张**")]
    pub helper: String,
    /// Whether it is the owner's own.
    pub own: bool,
    /// With a session: whether it is the caller's. Absent where it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub you: bool,
}

/// The caller's part in a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ChainYou {
    /// What the caller cut; null for nothing.
    #[schema(required = true)]
    pub your_cut_fen: Option<Fen>,
    /// Whether the caller helped.
    pub helped: bool,
    /// Whether it is the caller's chain.
    pub owner: bool,
    /// The owner's order that waits for its payment, or has bought.
    #[schema(required = true)]
    pub order_id: Option<OrderId>,
}

/// A chain as a shopper sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ChainView {
    /// Its id.
    pub id: ChainId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// What it is about.
    #[schema(example = "cream")]
    pub sku: String,
    /// Where it is in its life. Past its deadline it stays as it is while an order waits for its payment: that decides it.
    pub state: State,
    /// The owner's masked name.
    #[schema(example = "张**")]
    pub owner: String,
    /// The price it started at.
    #[schema(example = 29900)]
    pub start_price_fen: Fen,
    /// The price after all steps.
    #[schema(example = 9900)]
    pub floor_price_fen: Fen,
    /// The price now.
    #[schema(example = 26823)]
    pub price_fen: Fen,
    /// What is left to cut.
    #[schema(example = 16923)]
    pub remaining_fen: Fen,
    /// Steps taken.
    #[schema(minimum = 0, maximum = 200, example = 1)]
    pub cuts_taken: i64,
    /// Steps of its schedule: so many helpers, the owner's own steps among them, reach the floor.
    #[schema(minimum = 1, maximum = 200, example = 12)]
    pub cuts_needed: i64,
    /// What the next step takes off; null when none can follow: the floor is reached, or the chain is bought or expired.
    #[schema(required = true, example = 2820)]
    pub next_cut_fen: Option<Fen>,
    /// Who cut, in order.
    pub cuts: Vec<CutView>,
    /// Lower-case hex SHA-256 of the seed, or of the schedule as compact JSON.
    #[schema(pattern = "^[0-9a-f]{64}$", example = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925")]
    pub commitment: String,
    /// When it must have reached the floor, or be bought on the way.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-23T08:00:00Z")]
    pub expires_at: UnixMs,
    /// Until when it can be bought at the floor price; null before that is reached.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime, example = "2026-11-23T10:00:00Z")]
    pub buy_by: Option<UnixMs>,
    /// When it was started.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T08:00:00Z")]
    pub created_at: UnixMs,
    /// The caller's part, with a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub you: Option<ChainYou>,
}

/// What shows that a chain kept to its schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ProofView {
    /// How the schedule was made.
    pub algorithm: Algorithm,
    /// Lower-case hex SHA-256 of the seed's 32 bytes, or of the schedule as compact JSON; the same from the start on.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub commitment: String,
    /// 64 hex digits; null while the chain is open, and where there is no chance.
    #[schema(required = true, pattern = "^[0-9a-f]{64}$")]
    pub seed: Option<String>,
    /// Fen of each step. While a random chain is open, only the steps taken and the next one; null for the rest.
    pub schedule_fen: Vec<Option<Fen>>,
    /// The price the chain started at.
    pub start_price_fen: Fen,
    /// The price after all steps.
    pub floor_price_fen: Fen,
}

impl ProofView {
    /// What of a chain's schedule may be shown now.
    #[must_use]
    pub fn new(chain: &ChainRow, schedule: &ScheduleRow) -> Self {
        let hides = chain.state == State::Open && !schedule.seed.is_empty();
        let known = if hides { usize::try_from(chain.taken + 1).unwrap_or_default() } else { schedule.steps.len() };
        let step = |(place, fen): (usize, &i64)| (place < known).then_some(Fen::new(*fen));
        Self {
            algorithm: schedule.algorithm,
            commitment: chain.commitment.clone(),
            seed: (!hides && !schedule.seed.is_empty()).then(|| schedule.seed.clone()),
            schedule_fen: schedule.steps.iter().enumerate().map(step).collect(),
            start_price_fen: Fen::new(chain.start),
            floor_price_fen: Fen::new(chain.floor),
        }
    }
}

impl ChainRow {
    /// The chain as everybody sees it, or with `you` for one.
    #[must_use]
    pub fn view(&self, id: ChainId, you: Option<&str>, name: impl Fn(&str) -> String) -> ChainView {
        ChainView {
            id,
            campaign_id: id.campaign(),
            sku: self.sku.clone(),
            state: self.state,
            owner: name(&self.user),
            start_price_fen: Fen::new(self.start),
            floor_price_fen: Fen::new(self.floor),
            price_fen: Fen::new(self.price),
            remaining_fen: Fen::new(self.price - self.floor),
            cuts_taken: self.taken,
            cuts_needed: self.needed,
            next_cut_fen: (self.state == State::Open && self.next > 0).then_some(Fen::new(self.next)),
            cuts: self.cuts.iter().map(|cut| CutView { you: you == Some(cut.0.as_str()), ..self.cut_view(cut, &name) }).collect(),
            commitment: self.commitment.clone(),
            expires_at: UnixMs::new(self.expires_at),
            buy_by: (self.buy_by > 0).then_some(UnixMs::new(self.buy_by)),
            created_at: UnixMs::new(self.started_at),
            you: you.map(|user| self.you(id, user)),
        }
    }

    /// One of its cuts.
    #[must_use]
    pub fn cut_view(&self, cut: &CutRow, name: impl Fn(&str) -> String) -> CutView {
        CutView { amount_fen: Fen::new(cut.2), steps: cut.1, helper: name(&cut.0), own: cut.0 == self.user, you: false }
    }

    /// A shopper's part in it.
    #[must_use]
    pub fn you(&self, id: ChainId, user: &str) -> ChainYou {
        let (cut, owner) = (self.cut_of(user), self.user == user);
        ChainYou {
            your_cut_fen: cut.map(|cut| Fen::new(cut.2)),
            helped: cut.is_some() && !owner,
            owner,
            order_id: if owner { OrderId::from_hot(id.campaign(), &self.order).ok() } else { None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ProofView;
    use crate::bargain::row::{ChainRow, ScheduleRow, State};
    use crate::bargain::schedule::Algorithm;
    use crate::money::Fen;

    fn chain(state: State) -> ChainRow {
        ChainRow {
            state,
            reserve: 0,
            needed: 3,
            taken: 1,
            start: 100,
            floor: 0,
            price: 66,
            next: 33,
            started_at: 1,
            expires_at: 2,
            buy_by: 0,
            closed_at: 0,
            version: 1,
            sku: "a".into(),
            user: "u".into(),
            order: String::new(),
            commitment: "c".into(),
            cuts: Vec::new(),
        }
    }

    #[test]
    fn an_open_chain_keeps_its_seed_and_what_comes_after_the_next_step() {
        let random = ScheduleRow { algorithm: Algorithm::Random, seed: "5eed".into(), steps: vec![34, 33, 33] };
        let open = ProofView::new(&chain(State::Open), &random);
        assert_eq!((open.seed, open.schedule_fen), (None, vec![Some(Fen::new(34)), Some(Fen::new(33)), None]));
        for state in [State::FloorReached, State::Bought, State::Expired] {
            let told = ProofView::new(&chain(state), &random);
            assert_eq!((told.seed.as_deref(), told.schedule_fen.last().copied().flatten()), (Some("5eed"), Some(Fen::new(33))));
        }
        let even = ScheduleRow { algorithm: Algorithm::Even, seed: String::new(), ..random };
        let open = ProofView::new(&chain(State::Open), &even);
        assert_eq!((open.seed, open.schedule_fen.len(), open.schedule_fen.contains(&None)), (None, 3, false));
    }
}
