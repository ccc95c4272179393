//! Payers beside each other, and a provider whose answer comes too late.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use liebian::clock::{Clock, UnixMs};
use liebian::config::Effort;
use liebian::id::{CampaignId, UserId, WithdrawalId};
use liebian::ledger::{Account, Kind, Transfer, post_now, wallet};
use liebian::money::Fen;
use liebian::order::provider::Asked;
use liebian::store::{Store, execute, fetch_all};
use liebian::withdrawal::payer::Payer;
use liebian::withdrawal::provider::{Outcome, Payout, PayoutProvider};
use liebian::withdrawal::{records, steps};

use crate::support::both_databases;

/// Withdrawals that wait to be paid out, of ten fen each.
const WAITING: i64 = 24;

fn transfer(reference: String, (from, to): (Account, Account), fen: i64, kind: Kind) -> Transfer {
    let (amount, at) = (Fen::new(fen), UnixMs::new(1));
    Transfer { reference, from, to, amount, kind, at, campaign: None, order_number: None, level: None, withdrawal: None }
}

/// Somebody who has earned and asked for so many withdrawals, which are approved.
async fn approved(store: &Store, count: i64) -> (UserId, Vec<WithdrawalId>) {
    const KEEP: &str = "INSERT INTO withdrawals (id, user_id, amount_fen, state, provider, attempts, next_attempt_at, created_at, updated_at) \
                        VALUES ($1, $2, 10, 'approved', 'slow', 0, 0, 0, 0)";
    let (user, campaign) = (UserId::from_hot("00000000000001").unwrap(), CampaignId::from_hot("00000001").unwrap());
    let (available, withdrawing) = (Account::Available(user), Account::Withdrawing(user));
    let earned = transfer("earned".into(), (Account::Rewards(campaign), available), 10 * count, Kind::RewardAvailable);
    let ids: Vec<WithdrawalId> = (0..count).map(|_| WithdrawalId::random(&mut rand::rng())).collect();
    let held = ids.iter().map(|id| transfer(format!("withdrawal_held:{id}"), (available, withdrawing), 10, Kind::WithdrawalHeld));
    let mut tx = store.begin().await.unwrap();
    for id in &ids {
        execute!(&mut tx, KEEP, *id, user).unwrap();
    }
    post_now(&mut tx, &[earned].into_iter().chain(held).collect::<Vec<_>>()).await.unwrap();
    tx.commit().await.unwrap();
    (user, ids)
}

fn payer(store: &Store, provider: Arc<dyn PayoutProvider>) -> Payer {
    let effort = Effort { refund_tries: 3, provider_failures_per_minute: 1_000, reconcile_seconds: 0, auto_approve: true };
    Payer::new(store.clone(), Arc::new(Clock::default()), provider, effort)
}

/// What is available, on its way out, taken out.
async fn has(store: &Store, user: UserId) -> [i64; 3] {
    let own = wallet(store, user).await.unwrap();
    [own.available, own.withdrawing, own.withdrawn].map(Fen::get)
}

/// One that is still at it, and counts how often it was asked.
#[derive(Default)]
struct Slow(AtomicUsize);

impl PayoutProvider for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn pay_out(&self, _payout: Payout) -> Asked<'_, Outcome> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(Outcome::UnderWay) })
    }
}

/// One that answers after everybody has given up: the withdrawal is stuck by then, and a person has rejected it.
struct Late(Store);

impl PayoutProvider for Late {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn pay_out(&self, payout: Payout) -> Asked<'_, Outcome> {
        Box::pin(async move {
            let mut tx = self.0.begin().await.unwrap();
            execute!(&mut tx, "UPDATE withdrawals SET state = 'stuck' WHERE id = $1", payout.number).unwrap();
            assert!(steps::reject(&mut tx, payout.number, "slow", ("key", Some("it never arrived")), UnixMs::new(2)).await.unwrap());
            tx.commit().await.unwrap();
            Ok(Outcome::Done)
        })
    }
}

both_databases! {
    async fn payers_beside_each_other_make_one_try_of_each(db: &Db) {
        let (store, slow) = (&db.store, Arc::new(Slow::default()));
        let (user, ids) = approved(store, WAITING).await;
        let payers: Vec<Payer> = (0..6).map(|_| payer(store, Arc::<Slow>::clone(&slow))).collect();
        for round in join_all(payers.iter().map(Payer::round)).await {
            round.unwrap();
        }
        assert_eq!(slow.0.load(Ordering::Relaxed), ids.len());
        let tries = fetch_all!(store, (i64,), "SELECT attempts FROM withdrawals").unwrap();
        assert!(tries.iter().all(|(tries,)| *tries == 1), "{tries:?}");
        assert_eq!(has(store, user).await, [0, 10 * WAITING, 0]);
    }

    /// The money came back, so it is not taken out as well; but a person must hear of it, for it was paid.
    async fn a_payout_after_the_money_was_returned_is_seen_in_its_record(db: &Db) {
        let store = &db.store;
        let (user, ids) = approved(store, 1).await;
        payer(store, Arc::new(Late(store.clone()))).round().await.unwrap();
        let record = records::find(store, ids[0]).await.unwrap().unwrap();
        assert_eq!((record.withdrawal.state, has(store, user).await), (records::State::Returned, [10, 0, 0]));
        assert_eq!(record.last_error.as_deref(), Some("was paid out after it had been returned"));
    }
}
