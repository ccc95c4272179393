//! What the engine asks of a payment provider. Whoever implements it answers for a world outside: every call may fail, and every
//! call may be repeated.

use futures_util::future::BoxFuture;

use crate::id::OrderId;
use crate::money::Fen;

/// A payment, as the provider tells it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Payment {
    /// The provider's own number of it; the same payment always has the same.
    pub transaction_id: String,
    /// Our order's id as the provider knows it; possibly none of ours.
    pub order_id: String,
    /// How much.
    pub amount_fen: Fen,
    /// When, Unix ms.
    pub paid_at: i64,
}

/// The answer to "close this payment".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It can no longer be paid.
    Closed,
    /// It was paid.
    Paid(Payment),
    /// The provider cannot say yet.
    Unknown,
}

/// A refund to be executed. The number is the same in every retry, so the provider executes it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Our number of it.
    pub refund_no: String,
    /// The payment it is taken from.
    pub transaction_id: String,
    /// How much.
    pub amount_fen: Fen,
}

/// The answer to "refund this".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refunding {
    /// The money is back.
    Done,
    /// It takes a while: ask again, with the same number.
    UnderWay,
}

/// A refund that the provider has executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Our number of it.
    pub refund_no: String,
    /// The payment it was taken from.
    pub transaction_id: String,
    /// How much.
    pub amount_fen: Fen,
}

/// What a provider has in its books for a span of time.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Payments, by when they were paid.
    pub payments: Vec<Payment>,
    /// Refunds, by when they were executed.
    pub refunds: Vec<Executed>,
}

/// The provider did not do it this time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payment provider: {0}")]
pub struct ProviderError(pub String);

/// An answer that takes a while.
pub type Asked<'a, T> = BoxFuture<'a, Result<T, ProviderError>>;

/// A payment provider.
pub trait Provider: Send + Sync {
    /// Its name in SQL and in answers.
    fn name(&self) -> &'static str;

    /// Makes a payment ready; answers what the client needs to pay. SQL knows of the request before.
    fn request(&self, order: OrderId, amount: Fen) -> Asked<'_, serde_json::Value>;

    /// Asks that the payment cannot happen any more.
    fn close(&self, order: OrderId, amount: Fen) -> Asked<'_, Closing>;

    /// Asks whether the order was paid, when no notification came. `None`: not yet.
    fn query(&self, order: OrderId) -> Asked<'_, Option<Payment>>;

    /// Sends money back.
    fn refund(&self, refund: Refund) -> Asked<'_, Refunding>;

    /// Its books from one time until before another, Unix ms. `None`: it keeps none that we could read.
    fn books(&self, from: i64, to: i64) -> Asked<'_, Option<Books>>;

    /// Whether it has executed a refund. Asked only of a provider that keeps books.
    fn executed(&self, refund_no: String) -> Asked<'_, Option<Executed>>;

    /// Reads a notification and checks its signature; `None` when it is not the provider's.
    fn read_notification(&self, signature: &str, body: &[u8]) -> Option<Payment>;
}

/// The shop itself takes the payments and reports them (`POST /operator/v1/orders/{id}/paid`).
#[derive(Debug)]
pub struct Shop;

/// The name under which the shop's own payments are kept.
pub const SHOP: &str = "shop";

impl Provider for Shop {
    fn name(&self) -> &'static str {
        SHOP
    }

    fn request(&self, order: OrderId, amount: Fen) -> Asked<'_, serde_json::Value> {
        Box::pin(async move { Ok(serde_json::json!({"order_id": order, "amount_fen": amount})) })
    }

    /// Only the shop's cashier knows whether somebody is paying right now; the seat waits out its patience.
    fn close(&self, _order: OrderId, _amount: Fen) -> Asked<'_, Closing> {
        Box::pin(async { Ok(Closing::Unknown) })
    }

    fn query(&self, _order: OrderId) -> Asked<'_, Option<Payment>> {
        Box::pin(async { Ok(None) })
    }

    /// The shop works through the list of refunds.
    fn refund(&self, _refund: Refund) -> Asked<'_, Refunding> {
        Box::pin(async { Ok(Refunding::UnderWay) })
    }

    fn books(&self, _from: i64, _to: i64) -> Asked<'_, Option<Books>> {
        Box::pin(async { Ok(None) })
    }

    fn executed(&self, _refund_no: String) -> Asked<'_, Option<Executed>> {
        Box::pin(async { Ok(None) })
    }

    fn read_notification(&self, _signature: &str, _body: &[u8]) -> Option<Payment> {
        None
    }
}
