//! Group-buys: whatever is sent, the program does what the model does.

use std::path::Path;

use super::book::Book;
use super::generate::{Case, Maker, case};
use super::ops::Op;
use super::projected::GROUP_BUY;
use super::run::{self, Run};
use crate::support::valkey_server;

/// What must happen somewhere in a run.
const WANTED: &[&str] = &[
    "published",
    "status",
    "switches",
    "stock",
    "opened",
    "joined",
    "already_in_room",
    "ordered",
    "newcomers_only",
    "tier_reached",
    "payment_asked",
    "cancelled",
    "closed",
    "paid",
    "refunded",
    "fulfilled",
    "refunding",
    "invalid_request",
    "called_off",
    "ticked",
    "not_found",
    "campaign_not_live",
    "campaign_ended",
    "campaign_state",
    "device_limit_reached",
    "order_limit_reached",
    "room_limit_reached",
    "unpaid_limit_reached",
    "sold_out",
    "budget_exhausted",
    "room_closed",
    "room_expired",
    "room_full",
    "order_expired",
    "order_not_payable",
    "order_not_cancellable",
    "order_not_fulfillable",
    "not_refundable",
    "idempotency_key_reused",
    "replayed",
    "alternative",
    "order.held",
    "order.payment_asked",
    "order.closing",
    "order.released",
    "order.paid",
    "order.confirmed",
    "order.seated_again",
    "order.refund_due",
    "order.payment_returned",
    "order.refunded",
    "order.fulfilled",
    "order.undone",
    "order.called_off",
    "group_buy.room_opened",
    "group_buy.room_formed",
    "group_buy.room_failed",
    "group_buy.leader_left",
    "campaign.status",
    "campaign.stock",
    "campaign.switches",
    "room_failed",
    "late_payment",
    "paid_twice",
    "amount_differs",
    "hold_expired",
    "close_unanswered",
    "broken",
    "out_of_stock",
];

impl run::Case<Book> for Case {
    async fn play(&self, run: &mut Run<'_, Book>) {
        let stock = vec![("cherry".to_owned(), self.stock), ("plum".to_owned(), self.stock / 2)];
        let mut maker = Maker::default();
        run.round(vec![vec![Op::Publish { definition: self.rules.clone(), stock }.into()]]).await;
        for round in &self.rounds {
            run.at += round.advance;
            if round.tick {
                run.round(vec![vec![Op::Tick.into()]]).await;
            }
            let mut batches = Vec::new();
            for wishes in &round.batches {
                let mut batch = Vec::new();
                for wish in wishes {
                    if !maker.full() {
                        batch.push(maker.make(wish, &run.model.book, &self.rules, run.at));
                    }
                }
                batches.push(batch);
            }
            batches.retain(|batch| !batch.is_empty());
            run.round(batches).await;
        }
        // In the end time passes: holds run out, providers do not answer, rooms meet their deadline.
        for advance in [901_000, 601_000, 90_000_000] {
            run.at += advance;
            run.round(vec![vec![Op::Tick.into()]]).await;
        }
    }

    fn under(&self) -> String {
        format!("{:?}, stock {}", self.rules, self.stock)
    }
}

fn the_program_does_what_the_model_does(server: &Path) {
    run::check::<Book, Case>(server, &case(), &GROUP_BUY, WANTED);
}

#[test]
fn the_program_does_what_the_model_does_on_redis() {
    the_program_does_what_the_model_does(Path::new("redis-server"));
}

#[test]
fn the_program_does_what_the_model_does_on_valkey() {
    the_program_does_what_the_model_does(&valkey_server());
}
