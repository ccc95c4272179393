//! A store for a test, on either database.

use std::sync::Arc;

use liebian::store::Store;

use super::folder::Folder;
use super::postgres::Postgres;

/// A migrated store in a database of its own. Keep it as long as the store is used: the database ends with it.
pub struct Db {
    /// The store.
    pub store: Store,
    /// Its address, for a second process or pool.
    pub url: String,
    _keep: Keep,
}

/// What must outlive the store.
enum Keep {
    Folder { _folder: Folder },
    Server { _server: Arc<Postgres> },
}

impl Db {
    /// A new file.
    pub async fn sqlite() -> Self {
        let folder = Folder::new();
        let url = format!("sqlite://{}/test.db", folder.path().display());
        Self::open(url, Keep::Folder { _folder: folder }).await
    }

    /// A new database on this process' server.
    pub async fn postgres() -> Self {
        let server = Postgres::shared().await;
        let url = server.new_database().await;
        Self::open(url, Keep::Server { _server: server }).await
    }

    async fn open(url: String, keep: Keep) -> Self {
        let store = Store::connect(&url).await.expect("connect");
        store.migrate().await.expect("migrate");
        Self { store, url, _keep: keep }
    }
}

/// Runs each test on both databases: `both_databases! { async fn the_rule(db: &Db) { … } }` makes `the_rule::sqlite` and
/// `the_rule::postgres`.
macro_rules! both_databases {
    ($($(#[$meta:meta])* async fn $name:ident($db:ident: &Db) $body:block)*) => {
        $(
            mod $name {
                use super::*;

                async fn check($db: &$crate::support::Db) $body

                $(#[$meta])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() {
                    check(&$crate::support::Db::sqlite().await).await;
                }

                $(#[$meta])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() {
                    check(&$crate::support::Db::postgres().await).await;
                }
            }
        )*
    };
}

pub(crate) use both_databases;
