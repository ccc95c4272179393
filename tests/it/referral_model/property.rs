//! Referral: whatever is sent, in whatever batches, from several senders, the program does what the model does.

use std::path::Path;

use liebian::campaign::projection::CampaignProjection;
use liebian::referral::projection::ReferralProjection;

use super::book::Book;
use super::generate::{Case, Maker, case, deep};
use super::rows::Op;
use crate::model::{self, Projected, Run};
use crate::support::valkey_server;

/// What must happen somewhere in a run.
const WANTED: &[&str] = &[
    "published",
    "status",
    "switches",
    "bound",
    "had",
    "unbound",
    "reported",
    "ticked",
    "self_invite",
    "not_found",
    "campaign_not_live",
    "campaign_ended",
    "campaign_state",
    "newcomers_only",
    "already_bound",
    "bond_cycle",
    "budget_exhausted",
    "idempotency_key_reused",
    "replayed",
    "campaign.published",
    "campaign.status",
    "campaign.switches",
    "referral.bound",
    "referral.unbound",
    "referral.rewarded",
    "referral.reward_refused",
    "referral.reward_available",
    "referral.reward_reversed",
    "over_budget",
    "over_daily_budget",
    "asked for",
];

/// What a referral campaign's log fills.
static PROJECTED: Projected = Projected {
    kind: "referral",
    tables: &[("bonds", "user_id"), ("bond_history", "seq"), ("rewards", "order_number, level"), ("log_entries", "first_seq")],
    projections: || vec![Box::new(CampaignProjection), Box::new(ReferralProjection)],
};

impl model::Case<Book> for Case {
    async fn play(&self, run: &mut Run<'_, Book>) {
        let mut maker = Maker::default();
        let publish = vec![vec![Op::Publish { definition: self.rules.clone(), stock: Vec::new() }.into()]];
        if !self.early {
            run.round(publish.clone()).await;
        }
        let line =
            (1..self.deep).map(|place| Op::SetBond { user: deep(place), inviter: deep(place - 1), by: "key", reason: "deep" }.into());
        let line: Vec<_> = line.collect();
        run.round(vec![line].into_iter().filter(|line| !line.is_empty()).collect()).await;
        for (place, round) in self.rounds.iter().enumerate() {
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
            if self.early && place == 0 {
                run.round(publish.clone()).await;
            }
        }
        // In the end time passes: freezes run out, keys are forgotten, the campaign ends.
        for advance in [700_000, 90_000_000, 400_000_000] {
            run.at += advance;
            run.round(vec![vec![Op::Tick.into()]]).await;
        }
    }

    fn under(&self) -> String {
        format!("{:?}", self.rules)
    }
}

fn the_program_does_what_the_model_does(server: &Path) {
    model::check::<Book, Case>(server, &case(), &PROJECTED, WANTED);
}

#[test]
fn the_program_does_what_the_model_does_on_redis() {
    the_program_does_what_the_model_does(Path::new("redis-server"));
}

#[test]
fn the_program_does_what_the_model_does_on_valkey() {
    the_program_does_what_the_model_does(&valkey_server());
}
