//! The ledger on both databases: money is never made or lost, nothing is booked twice, nobody is overdrawn.

use std::collections::BTreeMap;

use liebian::clock::UnixMs;
use liebian::id::{CampaignId, UserId};
use liebian::ledger::{Account, Kind, Transfer, lock, post_now, statement, trial, wallet};
use liebian::money::Fen;
use liebian::store::{Store, StoreError, execute};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::support::both_databases;

fn user(number: u32) -> UserId {
    UserId::from_hot(&format!("{number:014}")).unwrap()
}

fn campaign(number: u32) -> CampaignId {
    CampaignId::from_hot(&format!("{number:08}")).unwrap()
}

fn transfer(reference: &str, (from, to): (Account, Account), fen: i64) -> Transfer {
    let kind = match (from, to) {
        (Account::Rewards(_), _) => Kind::RewardFrozen,
        (Account::Frozen(_), Account::Available(_)) => Kind::RewardAvailable,
        (_, Account::Rewards(_)) => Kind::RewardReversed,
        (Account::Available(_), _) => Kind::WithdrawalHeld,
        (_, Account::Available(_)) => Kind::WithdrawalReturned,
        _ => Kind::WithdrawalDone,
    };
    Transfer {
        reference: reference.to_owned(),
        from,
        to,
        amount: Fen::new(fen),
        kind,
        at: UnixMs::new(1_795_305_600_123),
        campaign: Some(campaign(1)),
        order_number: None,
        level: None,
        withdrawal: None,
    }
}

async fn book(store: &Store, transfers: &[Transfer]) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    post_now(&mut tx, transfers).await?;
    tx.commit().await
}

/// A reward on its whole way to being available.
fn earned(reference: &str, user: UserId, fen: i64) -> Vec<Transfer> {
    let (rewards, frozen, available) = (Account::Rewards(campaign(1)), Account::Frozen(user), Account::Available(user));
    vec![transfer(reference, (rewards, frozen), fen), transfer(&format!("{reference}:over"), (frozen, available), fen)]
}

async fn has(store: &Store, user: UserId) -> [i64; 5] {
    let own = wallet(store, user).await.unwrap();
    [own.available, own.debt, own.frozen, own.withdrawing, own.withdrawn].map(Fen::get)
}

/// The books balance, and the statement tells how each account came to what it has.
async fn in_order(store: &Store, user: UserId) {
    let trial = trial::of_all(store).await.unwrap();
    assert!(trial.balances(), "{trial:?}");
    assert_eq!(trial::of_campaign(store, campaign(1)).await.unwrap(), Vec::<String>::new());
    let entries = statement::of_user(store, user, i64::MAX, 10_000).await.unwrap();
    let mut balances: BTreeMap<_, i64> = BTreeMap::new();
    for entry in entries.iter().rev() {
        let balance = balances.entry(entry.account).or_default();
        *balance += entry.amount.get();
        assert_eq!(*balance, entry.balance.get(), "{entry:?}");
    }
    let own = has(store, user).await;
    assert_eq!(balances.values().sum::<i64>(), own.iter().sum::<i64>());
    assert!(own[0] == 0 || own[1] == 0, "{own:?}: a debt is paid at once");
}

both_databases! {
    async fn money_moves_with_its_reason_and_the_books_balance(db: &Db) {
        let (store, ada) = (&db.store, user(1));
        book(store, &earned("a", ada, 500)).await.unwrap();
        book(store, &[transfer("w", (Account::Available(ada), Account::Withdrawing(ada)), 200)]).await.unwrap();
        assert_eq!(has(store, ada).await, [300, 0, 0, 200, 0]);
        in_order(store, ada).await;
        // Newest first; what moves between two of one's own accounts has two lines; pages are cut anywhere.
        let lines = |entries: Vec<statement::Entry>| entries.iter().map(|entry| (entry.account.word(), entry.amount.get())).collect::<Vec<_>>();
        let all = [("withdrawing", 200), ("available", -200), ("available", 500), ("frozen", -500), ("frozen", 500)];
        assert_eq!(lines(statement::of_user(store, ada, i64::MAX, 50).await.unwrap()), all);
        let (mut before, mut read) = (i64::MAX, Vec::new());
        while let Some(entry) = statement::of_user(store, ada, before, 1).await.unwrap().pop() {
            before = entry.place;
            read.push(entry);
        }
        assert_eq!(lines(read), all);
        assert_eq!(has(store, user(2)).await, [0; 5]);
    }

    async fn nobody_is_overdrawn_and_nothing_is_booked_twice(db: &Db) {
        let (store, ada) = (&db.store, user(1));
        book(store, &earned("a", ada, 500)).await.unwrap();
        let refused = [
            transfer("w", (Account::Available(ada), Account::Withdrawing(ada)), 501),
            transfer("back", (Account::Frozen(ada), Account::Rewards(campaign(1))), 1),
            transfer("a", (Account::Rewards(campaign(1)), Account::Frozen(ada)), 1),
            transfer("minus", (Account::Available(ada), Account::Withdrawing(ada)), -1),
            transfer("round", (Account::Available(ada), Account::Available(ada)), 1),
            transfer("gift", (Account::Available(ada), Account::Debt(ada)), 1),
        ];
        for one in refused {
            let answer = book(store, std::slice::from_ref(&one)).await;
            assert!(matches!(answer, Err(StoreError::Rejected { .. })), "{}: {answer:?}", one.reference);
            assert_eq!(has(store, ada).await, [500, 0, 0, 0, 0], "{}", one.reference);
        }
        in_order(store, ada).await;
        // Where nothing moves nothing is booked.
        book(store, &[transfer("nothing", (Account::Available(user(2)), Account::Withdrawing(user(2))), 0)]).await.unwrap();
        assert_eq!(trial::of_all(store).await.unwrap().transfers, 2);
    }

    async fn a_debt_is_paid_from_what_is_or_becomes_available(db: &Db) {
        let (store, ada) = (&db.store, user(1));
        let back = |reference: &str, fen| transfer(reference, (Account::Debt(ada), Account::Rewards(campaign(1))), fen);
        book(store, &earned("a", ada, 500)).await.unwrap();
        book(store, &[back("a:back", 100)]).await.unwrap();
        assert_eq!(has(store, ada).await, [400, 0, 0, 0, 0], "there was enough");
        book(store, &[transfer("w", (Account::Available(ada), Account::Withdrawing(ada)), 300)]).await.unwrap();
        book(store, &[back("a:more", 350)]).await.unwrap();
        assert_eq!(has(store, ada).await, [0, -250, 0, 300, 0], "the rest stands");
        assert_eq!(wallet(store, ada).await.unwrap().disposable().get(), -250);
        book(store, &earned("b", ada, 200)).await.unwrap();
        assert_eq!(has(store, ada).await, [0, -50, 0, 300, 0]);
        book(store, &[transfer("w:back", (Account::Withdrawing(ada), Account::Available(ada)), 300)]).await.unwrap();
        assert_eq!(has(store, ada).await, [250, 0, 0, 0, 0]);
        in_order(store, ada).await;
    }

    async fn books_that_were_tampered_with_do_not_balance(db: &Db) {
        let (store, ada) = (&db.store, user(1));
        book(store, &earned("a", ada, 500)).await.unwrap();
        in_order(store, ada).await;
        execute!(store, "UPDATE accounts SET balance_fen = balance_fen + 1 WHERE id = $1", Account::Available(ada).to_string()).unwrap();
        let trial = trial::of_all(store).await.unwrap();
        assert_eq!((trial.balances(), trial.sum().get(), trial.wrong.len()), (false, 1, 1), "{trial:?}");
        assert_eq!(trial::of_campaign(store, campaign(1)).await.unwrap().len(), 1);
        execute!(store, "UPDATE accounts SET balance_fen = balance_fen - 1 WHERE id = $1", Account::Frozen(ada).to_string()).unwrap_err();
        // Two that make up for each other.
        execute!(store, "UPDATE accounts SET balance_fen = balance_fen - 1 WHERE kind = 'rewards'").unwrap();
        let trial = trial::of_all(store).await.unwrap();
        assert_eq!((trial.holds(), trial.sum().get(), trial.wrong.len()), (false, 0, 2), "{trial:?}");
        execute!(store, "UPDATE accounts SET balance_fen = balance_fen + 1 WHERE kind = 'rewards'").unwrap();
        execute!(store, "DELETE FROM accounts WHERE kind = 'available'").unwrap();
        let trial = trial::of_all(store).await.unwrap();
        assert!(!trial.balances() && trial.wrong[0].contains("has nothing"), "{trial:?}");
    }

    async fn campaigns_that_reward_the_same_people_at_once_wait_for_each_other(db: &Db) {
        let store = &db.store;
        let people: Vec<UserId> = (0..20).map(user).collect();
        let posts = (0..16_u32).map(|round| {
            let (store, mut people) = (store.clone(), people.clone());
            if round % 2 == 1 {
                people.reverse();
            }
            tokio::spawn(async move {
                let reference = |user: &UserId| format!("{round}:{user}");
                let rewards: Vec<Transfer> = people.iter().flat_map(|user| earned(&reference(user), *user, 10)).collect();
                book(&store, &rewards).await
            })
        });
        for post in futures_util::future::join_all(posts).await {
            post.unwrap().unwrap();
        }
        for user in people {
            assert_eq!(has(store, user).await, [160, 0, 0, 0, 0]);
            in_order(store, user).await;
        }
    }

    async fn whoever_holds_the_lock_decides_on_what_stays_true(db: &Db) {
        let (store, ada) = (&db.store, user(1));
        book(store, &earned("a", ada, 1000)).await.unwrap();
        let tries = (0..64).map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut tx = store.begin().await.unwrap();
                if lock(&mut tx, ada).await.unwrap().disposable() < Fen::new(30) {
                    return false;
                }
                let hold = transfer(&format!("w{number}"), (Account::Available(ada), Account::Withdrawing(ada)), 30);
                post_now(&mut tx, &[hold]).await.unwrap();
                tx.commit().await.unwrap();
                true
            })
        });
        let held = futures_util::future::join_all(tries).await.into_iter().filter(|done| *done.as_ref().unwrap()).count();
        assert_eq!((held, has(store, ada).await), (33, [10, 0, 0, 990, 0]));
        in_order(store, ada).await;
    }

    async fn whatever_moves_in_whatever_order_the_books_balance(db: &Db) {
        let store = &db.store;
        for seed in 0..6_u64 {
            let mut rng = StdRng::seed_from_u64(seed);
            for step in 0..40 {
                let mut transfers = Vec::new();
                for part in 0..rng.random_range(1..5) {
                    let (who, rewards) = (user(rng.random_range(0..3)), Account::Rewards(campaign(1)));
                    let ways = [
                        (rewards, Account::Frozen(who)),
                        (rewards, Account::Frozen(who)),
                        (Account::Frozen(who), Account::Available(who)),
                        (Account::Frozen(who), rewards),
                        (Account::Debt(who), rewards),
                        (Account::Available(who), Account::Withdrawing(who)),
                        (Account::Withdrawing(who), Account::Available(who)),
                        (Account::Withdrawing(who), Account::Withdrawn(who)),
                    ];
                    let way = *ways.choose(&mut rng).unwrap();
                    transfers.push(transfer(&format!("{seed}:{step}:{part}"), way, rng.random_range(0..100)));
                }
                let before = trial::of_all(store).await.unwrap();
                match book(store, &transfers).await {
                    Ok(()) => {}
                    Err(StoreError::Rejected { unique: false, .. }) => assert_eq!(trial::of_all(store).await.unwrap(), before, "seed {seed}"),
                    Err(other) => panic!("seed {seed}: {other}"),
                }
                for number in 0..3 {
                    in_order(store, user(number)).await;
                }
            }
        }
        let trial = trial::of_all(store).await.unwrap();
        assert!(trial.transfers > 100, "much was booked: {trial:?}");
    }
}
