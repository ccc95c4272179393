//! Shoppers with tokens as the server itself makes them, and the requests they will send.

use std::time::{SystemTime, UNIX_EPOCH};

use liebian::clock::UnixMs;
use liebian::crypto::Secrets;
use liebian::id::UserId;
use liebian::identity::{Device, Initial, Session};
use liebian::store::{Store, execute};
use serde_json::{Map, Value, json};

use crate::Outcome;

/// What a shopper sends with every request.
pub struct Shopper {
    /// Who.
    pub user: UserId,
    /// The header lines.
    pub headers: String,
}

/// Users in one statement.
const AT_ONCE: usize = 5_000;

/// Makes shoppers, each with a device of their own.
pub fn make(secrets: &Secrets, count: usize) -> Outcome<Vec<Shopper>> {
    let now = UnixMs::new(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?);
    let mut rng = rand::rng();
    let shopper = |_| {
        let user = UserId::random(&mut rng);
        let signals = Map::from_iter([("install_id".to_owned(), Value::from(user.hot()))]);
        let device = Device::of_signals(secrets, &signals, now).ok_or("no device")?;
        let session = Session::begin(user, Initial::of("Bench"), now).token(secrets);
        Ok(Shopper { user, headers: format!("Authorization: Bearer {session}\r\nX-Device-Token: {}\r\n", device.token(secrets)) })
    };
    (0..count).map(shopper).collect()
}

/// Writes them into SQL as logins would have.
pub async fn sign_in(store: &Store, shoppers: &[Shopper]) -> Outcome<()> {
    for some in shoppers.chunks(AT_ONCE) {
        let rows: Vec<Value> = some.iter().map(|shopper| json!(shopper.user.to_string())).collect();
        let rows = serde_json::to_string(&rows)?;
        execute!(
            store,
            "INSERT INTO users (id, provider, external_id, display_name, created_at) \
             SELECT value, 'bench', value, 'Bench', 0 FROM json_each($1) WHERE true",
            rows
        )?;
    }
    Ok(())
}
