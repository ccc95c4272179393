//! An order as its buyer sees it.

use serde::{Deserialize, Serialize};

use super::row::{OrderRow, State};
use crate::clock::UnixMs;
use crate::id::{CampaignId, ChainId, OrderId, RoomId};
use crate::money::Fen;

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Seat and units are held until `pay_by`.
    AwaitingPayment,
    /// Paid; the room is still filling.
    Paid,
    /// The room has formed.
    Confirmed,
    /// The goods are handed over.
    Fulfilled,
    /// Never paid; seat and units went back.
    Released,
    /// Money goes back.
    RefundDue,
    /// All money went back.
    Refunded,
}

impl OrderState {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::AwaitingPayment, Self::Paid, Self::Confirmed, Self::Fulfilled, Self::Released, Self::RefundDue, Self::Refunded];

    /// The word on the wire and in SQL.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::AwaitingPayment => "awaiting_payment",
            Self::Paid => "paid",
            Self::Confirmed => "confirmed",
            Self::Fulfilled => "fulfilled",
            Self::Released => "released",
            Self::RefundDue => "refund_due",
            Self::Refunded => "refunded",
        }
    }

    /// The state a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.word() == word)
    }
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OrderView {
    /// Its id, also the payment provider's trade number.
    pub id: OrderId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// What is bought.
    #[schema(example = "cherry-1kg")]
    pub sku: String,
    /// Units.
    #[schema(minimum = 1, maximum = 10_000, example = 1)]
    pub quantity: i64,
    /// What is to be paid.
    pub amount_fen: Fen,
    /// What was paid.
    pub paid_fen: Fen,
    /// What went back.
    #[schema(example = 0)]
    pub refunded_fen: Fen,
    /// Where it is in its life.
    pub state: OrderState,
    /// Its room.
    #[schema(required = true)]
    pub room_id: Option<RoomId>,
    /// Its chain, of a bargain.
    #[schema(required = true)]
    pub chain_id: Option<ChainId>,
    /// Until when the seat is held; null once paid or released.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime, example = "2026-11-22T08:15:00Z")]
    pub pay_by: Option<UnixMs>,
    /// When it was placed.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T08:00:00Z")]
    pub created_at: UnixMs,
    /// When it was paid.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime, example = "2026-11-22T08:01:00Z")]
    pub paid_at: Option<UnixMs>,
    /// Why it was released or refunded.
    #[schema(required = true, example = "room_failed")]
    pub reason: Option<String>,
}

impl OrderState {
    /// The state as its buyer sees it.
    #[must_use]
    pub const fn of(state: State) -> Self {
        match state {
            State::Held | State::Closing => Self::AwaitingPayment,
            State::Paid => Self::Paid,
            State::Confirmed => Self::Confirmed,
            State::Fulfilled => Self::Fulfilled,
            State::Released => Self::Released,
            State::RefundDue => Self::RefundDue,
            State::Refunded => Self::Refunded,
        }
    }
}

impl OrderRow {
    /// The order as its buyer sees it.
    #[must_use]
    pub fn view(&self, id: OrderId) -> OrderView {
        let state = OrderState::of(self.state);
        OrderView {
            id,
            campaign_id: id.campaign(),
            sku: self.sku.clone(),
            quantity: self.quantity,
            amount_fen: Fen::new(self.amount),
            paid_fen: Fen::new(self.paid),
            refunded_fen: Fen::new(self.refunded),
            state,
            room_id: RoomId::from_hot(id.campaign(), &self.room).ok(),
            chain_id: ChainId::from_hot(id.campaign(), &self.chain).ok(),
            pay_by: (state == OrderState::AwaitingPayment).then_some(UnixMs::new(self.pay_by)),
            created_at: UnixMs::new(self.created_at),
            paid_at: (self.paid_at > 0).then_some(UnixMs::new(self.paid_at)),
            reason: (!self.reason.is_empty()).then(|| self.reason.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::OrderState;

    #[test]
    fn the_word_is_the_same_in_json_and_sql() {
        for state in OrderState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
            assert_eq!(OrderState::from_word(state.word()), Some(*state));
        }
    }
}
