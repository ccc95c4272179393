//! The payer against a provider that contradicts itself.

use std::sync::Arc;

use liebian::clock::{Clock, UnixMs};
use liebian::config::Effort;
use liebian::id::{CampaignId, UserId, WithdrawalId};
use liebian::ledger::{Account, Kind, Transfer, post_now, trial, wallet};
use liebian::money::Fen;
use liebian::order::provider::Asked;
use liebian::store::{Store, execute};
use liebian::withdrawal::payer::Payer;
use liebian::withdrawal::provider::{Outcome, Payout, PayoutProvider};
use liebian::withdrawal::records::{self, State};
use liebian::withdrawal::steps;

use crate::support::both_databases;

/// Says that it paid what had been returned while it was at work.
struct TooLate(Store);

impl PayoutProvider for TooLate {
    fn name(&self) -> &'static str {
        "late"
    }

    fn pay_out(&self, payout: Payout) -> Asked<'_, Outcome> {
        Box::pin(async move {
            let mut tx = self.0.begin().await?;
            assert!(steps::refused(&mut tx, payout.number, ("account closed", false), UnixMs::new(2)).await?, "it is returned");
            tx.commit().await?;
            Ok(Outcome::Done)
        })
    }
}

fn moved((from, to): (Account, Account), kind: Kind) -> Transfer {
    Transfer {
        reference: kind.word().to_owned(),
        from,
        to,
        amount: Fen::new(500),
        kind,
        at: UnixMs::new(1),
        campaign: None,
        order_number: None,
        level: None,
        withdrawal: None,
    }
}

both_databases! {
    async fn a_payout_after_the_money_was_returned_is_seen_in_its_record(db: &Db) {
        const ASKED: &str = "INSERT INTO withdrawals (id, user_id, amount_fen, state, provider, attempts, next_attempt_at, created_at, updated_at) \
                             VALUES ($1, $2, 500, 'approved', 'late', 0, 0, 0, 0)";
        let store = &db.store;
        let mut rng = rand::rng();
        let (user, id, campaign) = (UserId::random(&mut rng), WithdrawalId::random(&mut rng), CampaignId::random(&mut rng));
        let (frozen, available, held) = (Account::Frozen(user), Account::Available(user), Account::Withdrawing(user));
        let way = [
            moved((Account::Rewards(campaign), frozen), Kind::RewardFrozen),
            moved((frozen, available), Kind::RewardAvailable),
            moved((available, held), Kind::WithdrawalHeld),
        ];
        for step in way {
            let mut tx = store.begin().await.unwrap();
            post_now(&mut tx, &[step]).await.unwrap();
            tx.commit().await.unwrap();
        }
        execute!(store, ASKED, id, user).unwrap();

        let effort = Effort { refund_tries: 3, provider_failures_per_minute: 1000, reconcile_seconds: 0, auto_approve: true };
        let payer = Payer::new(store.clone(), Arc::new(Clock::default()), Arc::new(TooLate(store.clone())), effort);
        assert!(payer.round().await.unwrap());
        let record = records::find(store, id).await.unwrap().unwrap();
        assert_eq!((record.withdrawal.state, record.withdrawal.reason.as_deref()), (State::Returned, Some("account closed")));
        assert_eq!(record.last_error.as_deref(), Some("was paid out after it had been returned"));
        let wallet = wallet(store, user).await.unwrap();
        assert_eq!((wallet.disposable(), wallet.withdrawn), (Fen::new(500), Fen::new(0)), "the books stay whole: a person decides");
        assert!(trial::of_all(store).await.unwrap().holds());
    }
}
