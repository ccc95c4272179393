//! SQL behaves alike on both databases.

use std::sync::LazyLock;

use liebian::clock::UnixMs;
use liebian::id::{CampaignId, OrderId, UserId};
use liebian::money::Fen;
use liebian::store::{BulkRows, Store, StoreError, bulk_row, execute, fetch_all, fetch_one, fetch_optional};

use crate::support::{Db, both_databases};

#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
struct Sample {
    id: String,
    n: i64,
    yes: bool,
    maybe: Option<bool>,
    body: Vec<u8>,
    note: Option<String>,
}

type RequestRow = (OrderId, CampaignId, Fen, UnixMs, Option<i64>);
type NameRow = (UserId, String, UnixMs, Option<UnixMs>);

async fn samples(store: &Store) {
    let sql = "CREATE TABLE samples (id TEXT NOT NULL PRIMARY KEY, n BIGINT NOT NULL CHECK (n >= 0), yes BOOLEAN NOT NULL, \
               maybe BOOLEAN, body BYTEA NOT NULL, note TEXT)";
    execute!(store, sql).unwrap();
}

async fn sample(store: &Store, id: &str, n: i64) -> Result<u64, StoreError> {
    let body: &[u8] = &[0, 255, 39];
    execute!(
        store,
        "INSERT INTO samples (id, n, yes, maybe, body, note) VALUES ($1, $2, $3, $4, $5, $6)",
        id,
        n,
        true,
        None::<bool>,
        body,
        None::<&str>
    )
}

async fn put_stock(store: &Store, left: i64) {
    let campaign = "cmp_00000000";
    let sql = "INSERT INTO stock (campaign_id, sku, put_in, left_units, held, sold, returned, seq) VALUES ($1, 'a', $2, $2, 0, 0, 0, 1)";
    assert_eq!(execute!(store, sql, campaign, left).unwrap(), 1);
}

bulk_row! {
    struct UserRow {
        id: UserId,
        provider: &'static str,
        external_id: String,
        display_name: String,
        created_at: UnixMs,
        first_paid_at: Option<UnixMs>,
    }
}

fn users(count: u32, name: &str) -> Vec<UserRow> {
    let user = |n: u32| UserRow {
        id: UserId::from_hot(&format!("{n:014}")).unwrap(),
        provider: "sandbox",
        external_id: n.to_string(),
        display_name: format!("{name} \"{n}\" 裂变 \\ '; --"),
        created_at: UnixMs::new(1_795_305_600_123),
        first_paid_at: n.is_multiple_of(2).then(|| UnixMs::new(i64::MAX)),
    };
    (0..count).map(user).collect()
}

/// As the domains do.
static USERS: LazyLock<BulkRows<UserRow>> = LazyLock::new(|| {
    BulkRows::insert(
        "users",
        "ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name WHERE excluded.display_name <> users.display_name",
    )
});

bulk_row! {
    struct Mark { id: Option<String>, yes: Option<bool>, body: Option<Vec<u8>> }
}

static MARKS: LazyLock<BulkRows<Mark>> = LazyLock::new(|| BulkRows::insert("marks", ""));

bulk_row! {
    struct Verdict { id: String, yes: bool }
}

static VERDICTS: LazyLock<BulkRows<Verdict>> = LazyLock::new(|| {
    BulkRows::over("UPDATE marks SET yes = r.yes FROM", "WHERE marks.id = r.id AND (marks.yes IS NULL OR marks.yes <> r.yes)")
});

both_databases! {
    async fn every_type_reads_back(db: &Db) {
        let store = &db.store;
        samples(store).await;
        assert_eq!(sample(store, "a", i64::MAX).await.unwrap(), 1);
        sample(store, "b", 2).await.unwrap();
        let all = fetch_all!(store, Sample, "SELECT * FROM samples WHERE n >= $1 ORDER BY id", 0_i64).unwrap();
        let a = Sample { id: "a".into(), n: i64::MAX, yes: true, maybe: None, body: vec![0, 255, 39], note: None };
        assert_eq!(all.first(), Some(&a));
        assert_eq!(all.len(), 2);
        let found = fetch_optional!(store, Sample, "SELECT * FROM samples WHERE id = $1 AND yes = $2", "a", true).unwrap();
        assert_eq!(found, Some(a));
        assert_eq!(fetch_optional!(store, Sample, "SELECT * FROM samples WHERE id = $1", "z").unwrap(), None);
        let (count, sum) = fetch_one!(store, (i64, i64), "SELECT COUNT(*), CAST(SUM(n) AS BIGINT) FROM samples WHERE n < $1", 9).unwrap();
        assert_eq!((count, sum), (1, 2));
        let none = fetch_one!(store, (i64,), "SELECT n FROM samples WHERE id = $1", "z").unwrap_err();
        assert!(matches!(none, StoreError::Defect(_)), "{none}");
    }

    async fn ids_money_and_time_bind_and_decode_as_they_are(db: &Db) {
        let mut rng = rand::rng();
        let campaign = CampaignId::random(&mut rng);
        let (order, fen, at) = (OrderId::new(campaign, UnixMs::new(0), &mut rng), Fen::new(4950), UnixMs::new(1_795_305_600_123));
        let sql = "INSERT INTO payment_requests (order_id, campaign_id, provider, amount_fen, created_at, looks) VALUES ($1, $2, 'sandbox', $3, $4, 0)";
        execute!(&db.store, sql, order, campaign, fen, at).unwrap();
        let sql = "SELECT order_id, campaign_id, amount_fen, created_at, look_at FROM payment_requests WHERE order_id = $1";
        assert_eq!(fetch_one!(&db.store, RequestRow, sql, order).unwrap(), (order, campaign, fen, at, None));
    }

    async fn a_transaction_holds_all_or_nothing(db: &Db) {
        let store = &db.store;
        samples(store).await;
        let mut tx = store.begin().await.unwrap();
        let sql = "INSERT INTO samples (id, n, yes, body) VALUES ($1, 1, $2, $3) RETURNING id, n, yes, maybe, body, note";
        let row = fetch_one!(&mut tx, Sample, sql, "a", false, vec![1_u8]).unwrap();
        assert!(!row.yes);
        assert_eq!(fetch_all!(&mut tx, Sample, "SELECT * FROM samples").unwrap().len(), 1, "sees its own");
        assert_eq!(fetch_all!(store, Sample, "SELECT * FROM samples").unwrap().len(), 0, "others do not yet");
        tx.commit().await.unwrap();
        assert_eq!(fetch_all!(store, Sample, "SELECT * FROM samples").unwrap().len(), 1);

        let mut tx = store.begin().await.unwrap();
        assert_eq!(execute!(&mut tx, "DELETE FROM samples").unwrap(), 1);
        drop(tx);
        assert_eq!(fetch_all!(store, Sample, "SELECT * FROM samples").unwrap().len(), 1);
    }

    async fn a_transaction_with_a_failed_statement_cannot_commit(db: &Db) {
        let store = &db.store;
        samples(store).await;
        let mut tx = store.begin().await.unwrap();
        execute!(&mut tx, "INSERT INTO samples (id, n, yes, body) VALUES ('a', 1, true, $1)", vec![1_u8]).unwrap();
        let again = execute!(&mut tx, "INSERT INTO samples (id, n, yes, body) VALUES ('a', 1, true, $1)", vec![1_u8]).unwrap_err();
        assert!(again.is_unique() && !again.is_trouble(), "{again}");
        assert!(matches!(tx.commit().await, Err(StoreError::CommitAfterFailure)));
        assert_eq!(fetch_all!(store, Sample, "SELECT * FROM samples").unwrap(), []);
    }

    async fn constraints_say_what_they_refuse(db: &Db) {
        let store = &db.store;
        samples(store).await;
        sample(store, "a", 1).await.unwrap();
        let twice = sample(store, "a", 1).await.unwrap_err();
        assert!(matches!(twice, StoreError::Rejected { unique: true, .. }), "{twice}");
        let negative = sample(store, "b", -1).await.unwrap_err();
        assert!(matches!(negative, StoreError::Rejected { unique: false, .. }), "{negative}");
        let null = execute!(store, "UPDATE samples SET n = NULL").unwrap_err();
        assert!(matches!(null, StoreError::Rejected { unique: false, .. }), "{null}");
        let orphan = execute!(store, "INSERT INTO campaign_versions (campaign_id, version, definition, created_at) VALUES ('x', 1, '{}', 0)");
        assert!(matches!(orphan, Err(StoreError::Rejected { unique: false, .. })), "{orphan:?}");
        let no_table = execute!(store, "DELETE FROM nothing").unwrap_err();
        assert!(matches!(no_table, StoreError::Defect(_)), "{no_table}");
    }

    async fn the_tables_hold_the_promises(db: &Db) {
        put_stock(&db.store, 10).await;
        let refused = [
            execute!(&db.store, "UPDATE stock SET left_units = left_units - 11, sold = sold + 11"),
            execute!(&db.store, "UPDATE stock SET sold = sold + 1"),
            execute!(&db.store, "INSERT INTO rooms (id, campaign_id, sku, state, size, seats_taken, seats_paid, price_fen, expires_at, \
                created_at, updated_at, seq) VALUES ('r', 'c', 'a', 'open', 2, 3, 0, 1, 0, 0, 0, 1)"),
            execute!(&db.store, "INSERT INTO refunds (refund_no, order_id, provider, transaction_id, amount_fen, reason, state, attempts, \
                next_attempt_at, created_at) VALUES ('r', 'o', 'sandbox', 't', 1, '', 'perhaps', 0, 0, 0)"),
        ];
        for answer in refused {
            assert!(matches!(answer, Err(StoreError::Rejected { unique: false, .. })), "{answer:?}");
        }
    }

    async fn ten_thousand_rows_travel_as_one_parameter(db: &Db) {
        let rows = users(10_000, "Xi");
        let mut tx = db.store.begin().await.unwrap();
        assert_eq!(USERS.write(&mut tx, &rows).await.unwrap(), 10_000);
        assert_eq!(USERS.write(&mut tx, &rows).await.unwrap(), 0, "the same again changes nothing");
        assert_eq!(USERS.write(&mut tx, &users(10, "Li")).await.unwrap(), 10);
        assert_eq!(USERS.write(&mut tx, &[]).await.unwrap(), 0);
        tx.commit().await.unwrap();
        let sql = "SELECT id, display_name, created_at, first_paid_at FROM users ORDER BY id";
        let read = fetch_all!(&db.store, NameRow, sql).unwrap();
        assert_eq!(read.len(), 10_000);
        for (n, ((id, name, created, paid), wrote)) in read.into_iter().zip(rows).enumerate() {
            assert_eq!((id, created, paid), (wrote.id, wrote.created_at, wrote.first_paid_at));
            assert!(n < 10 || name == wrote.display_name, "{name}");
        }
        let spans = fetch_one!(&db.store, (i64,), "SELECT COUNT(*) FROM users WHERE display_name LIKE $1", "Li%").unwrap();
        assert_eq!(spans, (10,));
    }

    async fn rows_with_truth_values_bytes_and_absent_values(db: &Db) {
        execute!(&db.store, "CREATE TABLE marks (id TEXT NOT NULL PRIMARY KEY, yes BOOLEAN, body BYTEA)").unwrap();
        let mut tx = db.store.begin().await.unwrap();
        let mark = |id: &str, yes, body: Option<&[u8]>| Mark { id: Some(id.to_owned()), yes, body: body.map(<[u8]>::to_vec) };
        let rows = [mark("a", Some(true), Some(&[0, 255, 39])), mark("b", Some(false), Some(&[])), mark("c", None, None)];
        assert_eq!(MARKS.write(&mut tx, &rows).await.unwrap(), 3);
        let verdicts = ["a", "b", "c", "d"].map(|id| Verdict { id: id.to_owned(), yes: id != "b" });
        assert_eq!(VERDICTS.write(&mut tx, &verdicts).await.unwrap(), 1, "a and b stand so already, d is not there");
        let read = fetch_all!(&mut tx, (Option<bool>, Option<Vec<u8>>), "SELECT yes, body FROM marks ORDER BY id").unwrap();
        assert_eq!(read, [(Some(true), Some(vec![0, 255, 39])), (Some(false), Some(vec![])), (Some(true), None)]);
        let no_id = MARKS.write(&mut tx, &[Mark { id: None, yes: None, body: None }]).await.unwrap_err();
        assert!(matches!(no_id, StoreError::Rejected { unique: false, .. }), "{no_id}");
        drop(tx);
        let mut tx = db.store.begin().await.unwrap();
        let twice = MARKS.write(&mut tx, &[rows[0].clone(), rows[0].clone()]).await.unwrap_err();
        assert!(twice.is_unique(), "{twice}");
    }

    async fn of_many_takers_of_few_units_only_as_many_succeed(db: &Db) {
        put_stock(&db.store, 20).await;
        let takers: Vec<_> = (0..100).map(|n: u32| {
            let store = db.store.clone();
            tokio::spawn(async move {
                let sql = "UPDATE stock SET left_units = left_units - $1, sold = sold + $1 WHERE sku = $2 AND left_units >= $1";
                if n.is_multiple_of(2) {
                    return execute!(&store, sql, 1_i64, "a");
                }
                let mut tx = store.begin().await?;
                let taken = execute!(&mut tx, sql, 1_i64, "a")?;
                tx.commit().await?;
                Ok(taken)
            })
        }).collect();
        let mut taken = 0;
        for taker in takers {
            taken += taker.await.unwrap().unwrap();
        }
        assert_eq!(taken, 20);
        assert_eq!(fetch_one!(&db.store, (i64, i64), "SELECT left_units, sold FROM stock").unwrap(), (0, 20));
    }

    async fn processes_that_start_at_once_all_find_the_tables(db: &Db) {
        let url = match &db.store {
            Store::Sqlite { .. } => db.url.replace("test.db", "fresh.db"),
            Store::Postgres(_) => crate::support::Postgres::shared().await.new_database().await,
        };
        let starts: Vec<_> = (0..8).map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let store = Store::connect(&url).await?;
                store.migrate().await?;
                let tables = fetch_one!(&store, (i64,), "SELECT COUNT(*) FROM orders")?;
                store.close().await;
                Ok::<_, StoreError>(tables)
            })
        }).collect();
        for start in starts {
            assert_eq!(start.await.unwrap().unwrap(), (0,));
        }
    }
}

#[tokio::test]
async fn readers_of_a_file_cannot_write_and_see_what_was_answered() {
    let db = Db::sqlite().await;
    let write = fetch_all!(&db.store, (String,), "INSERT INTO settings (name, value) VALUES ('a', 'b') RETURNING name").unwrap_err();
    assert!(matches!(write, StoreError::Unavailable(_)), "{write}");
    for n in 0..50_i64 {
        execute!(&db.store, "INSERT INTO settings (name, value) VALUES ($1, $2)", n.to_string(), "x").unwrap();
        let (count,) = fetch_one!(&db.store, (i64,), "SELECT COUNT(*) FROM settings").unwrap();
        assert_eq!(count, n + 1);
    }
}

#[tokio::test]
async fn other_addresses_are_refused_without_repeating_their_password() {
    for url in ["mysql://u:hunter2@h/d", "sqlite::memory:", "nonsense"] {
        let error = Store::connect(url).await.unwrap_err();
        assert!(matches!(error, StoreError::Address(_)), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
}
