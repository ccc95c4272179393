//! Rewards and withdrawals in the ledger: whatever is reported, repeated, projected, broken off and projected again, the books balance and say
//! what the model says.

use std::collections::BTreeMap;
use std::sync::Arc;

use liebian::app::program_of;
use liebian::campaign::projection::CampaignProjection;
use liebian::clock::{Clock, UnixMs};
use liebian::hot::{Class, Engine};
use liebian::id::{UserId, WithdrawalId};
use liebian::ledger::{self, Account, Kind, Transfer, Wallet, trial};
use liebian::money::Fen;
use liebian::projector::cursor::Cursor;
use liebian::projector::{Projector, Tail};
use liebian::referral::PROGRAM;
use liebian::referral::projection::ReferralProjection;
use liebian::store::{Store, execute, fetch_all};
use liebian::withdrawal::steps;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::book::Book;
use super::generate::{Maker, SHOPPERS, Wish, rules, sale, shopper};
use super::rows::Op;
use crate::model::{Campaign, EPOCH, Reference, START, Sent, engine};
use crate::support::{Db, Redis};

/// What happens next.
#[derive(Clone, Debug)]
enum Act {
    /// Time passes, sales are reported, time passes for the campaign too.
    Reports { advance: i64, sales: Vec<Wish> },
    /// The last batch is sent once more by another process: its answer was lost.
    Repeat,
    /// The projector brings in so many pages of so many ops, then it is dropped.
    Project { pages: u8, ops: i64 },
    /// A projector that slept since an earlier page wakes and goes on from there.
    Stale { ops: i64 },
    /// One of those who have something asks for a part of it, in hundredths.
    Withdraw { who: usize, part: i64 },
    /// A withdrawal that is under way goes on, or any is told once more how it ended.
    Decide { under_way: bool, which: usize, how: How },
}

#[derive(Clone, Copy, Debug)]
enum How {
    Approve,
    Reject,
    Done,
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Pending,
    Approved,
    Done,
    Returned,
}

struct Withdrawal {
    id: WithdrawalId,
    user: u8,
    fen: i64,
    state: State,
}

fn act() -> impl Strategy<Value = Act> {
    let advance = prop_oneof![4 => Just(0i64), 3 => Just(1_000), 4 => Just(300_000), 1 => Just(900_000)];
    let how = prop_oneof![4 => Just(How::Approve), 1 => Just(How::Reject), 4 => Just(How::Done), 2 => Just(How::Refused)];
    let ops = || prop_oneof![Just(1i64), Just(3), Just(1_000)];
    prop_oneof![
        8 => (advance, prop::collection::vec(sale().prop_map(Wish::Sale), 1..6)).prop_map(|(advance, sales)| Act::Reports { advance, sales }),
        2 => Just(Act::Repeat),
        8 => (1..4u8, ops()).prop_map(|(pages, ops)| Act::Project { pages, ops }),
        2 => ops().prop_map(|ops| Act::Stale { ops }),
        6 => (any::<usize>(), prop_oneof![3 => 1..=100i64, 1 => 101..=200i64]).prop_map(|(who, part)| Act::Withdraw { who, part }),
        10 => (any::<bool>(), any::<usize>(), how).prop_map(|(under_way, which, how)| Act::Decide { under_way, which, how }),
    ]
}

fn user(number: u8) -> UserId {
    UserId::from_hot(&shopper(number)).unwrap()
}

/// One campaign, its database, and what should be in it.
struct Books<'a> {
    campaign: Campaign,
    others: &'a [Arc<Engine>],
    db: &'a Db,
    model: Reference<Book>,
    at: i64,
    maker: Maker,
    last: Vec<Sent<Op>>,
    withdrawals: Vec<Withdrawal>,
    /// Where a projector stood that fell asleep.
    asleep: Cursor,
    tally: &'a mut BTreeMap<&'static str, usize>,
}

fn projector(engine: &Arc<Engine>, store: &Store) -> Arc<Projector> {
    let projections: Vec<Box<dyn liebian::projector::Projection>> = vec![Box::new(CampaignProjection), Box::new(ReferralProjection)];
    Arc::new(Projector::new(store.clone(), Arc::clone(engine), Arc::new(Clock::default()), projections, program_of))
}

impl Books<'_> {
    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    async fn send(&mut self, from: usize, batch: Vec<Sent<Op>>) {
        let expected = self.model.batch(self.at, &batch);
        let reply = self.campaign.send_from(&self.others[from], Class::Drain, self.at, &batch).await;
        let liebian::hot::Decided::Answers { answers, .. } = reply else { panic!("fenced") };
        assert!(answers.iter().zip(&expected).all(|(found, expected)| (found.yes, &found.word) == (expected.yes, &expected.word)));
        self.last = batch;
    }

    async fn act(&mut self, act: &Act, rules: &liebian::campaign::rules::ReferralRules) {
        match act {
            Act::Reports { advance, sales } => {
                self.at += advance;
                let mut batch: Vec<_> = sales.iter().map(|sale| self.maker.make(sale, &self.model.book, rules, self.at)).collect();
                batch.push(Op::Tick.into());
                self.send(0, batch).await;
            }
            Act::Repeat => {
                let before = self.model.book.clone();
                self.send(1, self.last.clone()).await;
                if before == self.model.book {
                    self.count("repeated");
                }
            }
            Act::Project { pages, ops } => self.project(*pages, *ops).await,
            Act::Stale { ops } => self.wake(*ops).await,
            Act::Withdraw { who, part } => self.withdraw(*who, *part).await,
            Act::Decide { under_way, which, how } => self.decide(*under_way, *which, *how).await,
        }
        let trial = trial::of_all(&self.db.store).await.unwrap();
        assert!(trial.holds(), "after {act:?}: {trial:?}");
    }

    async fn cursor(&self) -> Cursor {
        Cursor::read(&self.db.store, self.campaign.id).await.unwrap().unwrap()
    }

    async fn project(&mut self, pages: u8, ops: i64) {
        let before = self.cursor().await;
        let projector = projector(&self.campaign.engine, &self.db.store);
        let mut tail = Tail::new(self.campaign.id, before.clone()).with_pages_of(ops);
        for _ in 0..pages {
            tail.step(&projector).await.unwrap();
        }
        if self.cursor().await.seq > before.seq {
            self.asleep = before;
        }
    }

    /// It is refused, and leaves nothing; unless nobody went on meanwhile.
    async fn wake(&mut self, ops: i64) {
        let (before, wallets) = (self.cursor().await, self.wallets().await);
        if self.asleep.seq == before.seq {
            return;
        }
        let projector = projector(&self.others[1], &self.db.store);
        let outcome = Tail::new(self.campaign.id, self.asleep.clone()).with_pages_of(ops).step(&projector).await;
        assert!(outcome.is_err(), "a page was applied twice");
        assert_eq!((self.cursor().await.seq, self.wallets().await), (before.seq, wallets), "a page that was refused left something");
        self.count("stale");
    }

    async fn wallets(&self) -> Vec<Wallet> {
        let mut wallets = Vec::new();
        for number in 0..SHOPPERS {
            wallets.push(ledger::wallet(&self.db.store, user(number)).await.unwrap());
        }
        wallets
    }

    /// As `liebian::withdrawal::asking` does it.
    async fn withdraw(&mut self, who: usize, part: i64) {
        const KEEP: &str = "INSERT INTO withdrawals (id, user_id, amount_fen, state, provider, attempts, next_attempt_at, created_at, updated_at) \
                            VALUES ($1, $2, $3, 'pending', 'sandbox', 0, 0, 0, 0)";
        let wallets = self.wallets().await;
        let able: Vec<u8> =
            (0..SHOPPERS).zip(&wallets).filter(|(_, wallet)| wallet.disposable() > Fen::ZERO).map(|(number, _)| number).collect();
        let Some(number) = who.checked_rem(able.len()).map(|place| able[place]) else { return };
        let mut tx = self.db.store.begin().await.unwrap();
        let wallet = ledger::lock(&mut tx, user(number)).await.unwrap();
        let fen = wallet.disposable().get() * part / 100;
        if fen <= 0 {
            tx.rollback().await.unwrap();
            return;
        }
        let id = WithdrawalId::random(&mut rand::rng());
        execute!(&mut tx, KEEP, id, user(number), Fen::new(fen)).unwrap();
        let held = Transfer {
            reference: format!("withdrawal_held:{id}"),
            from: Account::Available(user(number)),
            to: Account::Withdrawing(user(number)),
            amount: Fen::new(fen),
            kind: Kind::WithdrawalHeld,
            at: UnixMs::new(self.at),
            campaign: None,
            order_number: None,
            level: None,
            withdrawal: Some(id),
        };
        let posted = ledger::post_now(&mut tx, &[held]).await;
        assert_eq!(posted.is_ok(), fen <= wallet.disposable().get(), "{fen} fen of {wallet:?}");
        if posted.is_ok() {
            tx.commit().await.unwrap();
            self.withdrawals.push(Withdrawal { id, user: number, fen, state: State::Pending });
            self.count("held");
        } else {
            tx.rollback().await.unwrap();
            self.count("overdraw refused");
        }
    }

    async fn decide(&mut self, under_way: bool, which: usize, how: How) {
        let fits = |withdrawal: &Withdrawal| !under_way || matches!(withdrawal.state, State::Pending | State::Approved);
        let places: Vec<usize> = self.withdrawals.iter().enumerate().filter(|(_, one)| fits(one)).map(|(place, _)| place).collect();
        let Some(place) = which.checked_rem(places.len()).map(|at| places[at]) else { return };
        let (id, state, now) = (self.withdrawals[place].id, self.withdrawals[place].state, UnixMs::new(self.at));
        let mut tx = self.db.store.begin().await.unwrap();
        let (news, expected, next) = match how {
            How::Approve => (steps::approve(&mut tx, id, "sandbox", "key", now).await.unwrap(), state == State::Pending, State::Approved),
            How::Reject => {
                (steps::reject(&mut tx, id, "sandbox", ("key", Some("no")), now).await.unwrap(), state == State::Pending, State::Returned)
            }
            How::Done => (steps::done(&mut tx, id, now).await.unwrap(), state == State::Approved, State::Done),
            How::Refused => (steps::refused(&mut tx, id, ("no", false), now).await.unwrap(), state == State::Approved, State::Returned),
        };
        tx.commit().await.unwrap();
        assert_eq!(news, expected, "{how:?} of one that is {state:?}");
        if news {
            self.withdrawals[place].state = next;
            self.count(match next {
                State::Pending => "pending",
                State::Approved => "approved",
                State::Done => "done",
                State::Returned => "returned",
            });
        } else {
            self.count("decided already");
        }
    }

    /// SQL has the whole log: what everybody has is rewards less what went back less withdrawals.
    async fn compare(&mut self) {
        self.project(200, 1_000).await;
        let wallets = self.wallets().await;
        for (number, wallet) in (0..SHOPPERS).zip(&wallets) {
            let (frozen, released) = self.model.book.earned(&shopper(number));
            let taken = |which: &[State]| -> i64 {
                let own = self.withdrawals.iter().filter(|one| one.user == number && which.contains(&one.state));
                own.map(|one| one.fen).sum()
            };
            let (going, gone) = (taken(&[State::Pending, State::Approved]), taken(&[State::Done]));
            let found = (wallet.frozen.get(), wallet.disposable().get(), wallet.withdrawing.get(), wallet.withdrawn.get());
            assert_eq!(found, (frozen, released - going - gone, going, gone), "wallet (left) of {number} against the model");
            assert!(wallet.available.get() >= 0 && wallet.debt.get() <= 0, "{wallet:?}");
            assert!(wallet.available.get() == 0 || wallet.debt.get() == 0, "a debt beside money: {wallet:?}");
            if wallet.debt.get() < 0 {
                *self.tally.entry("debt").or_default() += 1;
            }
        }
        self.once().await;
    }

    /// Every reward is there at most once per order and level, and there if it was granted.
    async fn once(&self) {
        const GRANTED: &str = "SELECT order_number, level, COUNT(*), CAST(SUM(amount_fen) AS BIGINT) FROM transfers \
                               WHERE kind = 'reward_frozen' AND campaign_id = $1 GROUP BY order_number, level ORDER BY order_number, level";
        let found = fetch_all!(&self.db.store, (String, i64, i64, i64), GRANTED, self.campaign.id).unwrap();
        let expected: Vec<_> = self.model.book.rewards().map(|(sale, level, fen)| (sale.to_owned(), level, 1, fen)).collect();
        assert_eq!(found, expected, "rewards of the ledger (left) against the model");
    }
}

async fn play(
    acts: &[Act],
    rules: &liebian::campaign::rules::ReferralRules,
    (engines, db): (&[Arc<Engine>], Db),
    tally: &mut BTreeMap<&'static str, usize>,
) {
    let campaign = Campaign::with(&engines[0], &PROGRAM).await;
    Cursor::create(&db.store, campaign.id, "referral", UnixMs::new(0)).await.unwrap();
    execute!(&db.store, "UPDATE cursors SET epoch = $1, state = 'serving' WHERE campaign_id = $2", EPOCH, campaign.id).unwrap();
    let asleep = Cursor::read(&db.store, campaign.id).await.unwrap().unwrap();
    let (model, maker) = (Reference::default(), Maker::default());
    let mut books =
        Books { campaign, others: engines, db: &db, model, at: START, maker, last: Vec::new(), withdrawals: Vec::new(), asleep, tally };
    books.send(0, vec![Op::Publish { definition: rules.clone(), stock: Vec::new() }.into()]).await;
    for (place, act) in acts.iter().enumerate() {
        books.act(act, rules).await;
        if place % 8 == 7 {
            books.compare().await;
        }
    }
    books.at += 2_000_000;
    books.send(0, vec![Op::Tick.into()]).await;
    books.compare().await;
}

/// What must happen somewhere, or the generator has become blind.
const WANTED: &[&str] = &["repeated", "stale", "held", "overdraw refused", "approved", "done", "returned", "decided already", "debt"];

/// So many cases, each in a database of its own.
fn the_books_balance_whatever_happens(database: impl AsyncFn() -> Db, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // The server of databases ends with the last of them.
    let _kept = runtime.block_on(database());
    let redis = runtime.block_on(Redis::start());
    let _at_home = runtime.enter();
    let engines = [engine(&redis.url()), engine(&redis.url())];
    let tally = std::cell::RefCell::new(BTreeMap::new());
    let config = Config { failure_persistence: None, cases: Config::default().cases.min(cases), ..Config::default() };
    let programmes = (rules(), prop::collection::vec(act(), 10..60));
    let outcome = TestRunner::new(config).run(&programmes, |(rules, acts)| {
        let db = runtime.block_on(database());
        runtime.block_on(play(&acts, &rules, (&engines, db), &mut tally.borrow_mut()));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let tally = tally.into_inner();
    let blind: Vec<_> = WANTED.iter().filter(|what| !tally.contains_key(**what)).collect();
    // Few cases may miss something; many must not.
    assert!(cases < 64 || blind.is_empty(), "never happened: {blind:?} in {tally:#?}");
}

#[test]
fn the_books_balance_whatever_happens_on_sqlite() {
    the_books_balance_whatever_happens(Db::sqlite, 64);
}

#[test]
fn the_books_balance_whatever_happens_on_postgres() {
    the_books_balance_whatever_happens(Db::postgres, 24);
}
