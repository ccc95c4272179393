//! Faults that a tester asks of the sandbox provider, so that what a real one does on a bad day can be seen over HTTP.

use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, post};
use serde::{Deserialize, Deserializer, Serialize};

use super::budget::Call;
use super::sandbox::Sandbox;
use crate::app::App;
use crate::code::Code;
use crate::http::body::Json;
use crate::http::caller;
use crate::http::extract::word;
use crate::http::idempotency;
use crate::http::problem::Problem;
use crate::store::{StoreError, execute, fetch_all, fetch_optional};

/// The most calls that one request may spoil.
const MOST: i64 = 1_000;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Nothing is done, and the provider says so.
    Fail,
    /// It is not done yet: "ask again".
    Delay,
    /// It is done, and the answer is lost.
    Lose,
    /// It arrives twice; a query's answer comes by notification as well.
    Duplicate,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Fail, Self::Delay, Self::Lose, Self::Duplicate];

    const fn word(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Delay => "delay",
            Self::Lose => "lose",
            Self::Duplicate => "duplicate",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.word() == word)
    }
}

/// What goes wrong with a payout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayoutFault {
    /// Nothing is done, and the provider says so.
    Fail,
    /// It is not done yet: "ask again".
    Delay,
    /// It is done, and the answer is lost.
    Lose,
    /// It arrives twice.
    Duplicate,
    /// It will never be done.
    Refuse,
    /// The user must confirm it.
    Confirm,
}

impl PayoutFault {
    const ALL: [Self; 6] = [Self::Fail, Self::Delay, Self::Lose, Self::Duplicate, Self::Refuse, Self::Confirm];

    const fn word(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Delay => "delay",
            Self::Lose => "lose",
            Self::Duplicate => "duplicate",
            Self::Refuse => "refuse",
            Self::Confirm => "confirm",
        }
    }

    /// The fault a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.word() == word)
    }
}

/// Faults to come; what is not named stays as it is.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFaults {
    /// What goes wrong with refunds.
    #[serde(default, deserialize_with = "some_word")]
    #[schema(nullable = false)]
    refund: Option<Fault>,
    /// What goes wrong when a payment is to be closed.
    #[serde(default, deserialize_with = "some_word")]
    #[schema(nullable = false)]
    close: Option<Fault>,
    /// What goes wrong when the provider is asked whether an order was paid.
    #[serde(default, deserialize_with = "some_word")]
    #[schema(nullable = false)]
    query: Option<Fault>,
    /// What goes wrong when a withdrawal is to be paid out.
    #[serde(default, deserialize_with = "some_word")]
    #[schema(nullable = false)]
    payout: Option<PayoutFault>,
    /// With how many calls; 0: none any more.
    #[serde(default = "once")]
    #[schema(minimum = 0, maximum = 1000, default = 1)]
    times: i64,
}

const fn once() -> i64 {
    1
}

fn some_word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    word(deserializer).map(Some)
}

/// Calls that will go wrong.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SandboxFault)]
pub struct FaultView {
    /// The sort of call.
    call: Call,
    /// What goes wrong.
    #[schema(value_type = PayoutFault)]
    fault: String,
    /// With how many more.
    times: i64,
}

/// The faults to come.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SandboxFaults)]
pub struct FaultsView {
    /// By sort of call.
    faults: Vec<FaultView>,
}

impl Sandbox {
    /// The fault of the next call of a sort about payments.
    pub(super) async fn fault_of(&self, call: Call) -> Result<Option<Fault>, StoreError> {
        Ok(self.fault(call).await?.and_then(|word| Fault::from_word(&word)))
    }

    /// The word of the fault of the next call of a sort, if one was asked for; it is used up.
    pub(crate) async fn fault(&self, call: Call) -> Result<Option<String>, StoreError> {
        const ANY: &str = "SELECT fault FROM sandbox_faults WHERE call = $1 AND times > 0";
        const USE: &str = "UPDATE sandbox_faults SET times = times - 1 WHERE call = $1 AND times > 0 AND fault = $2";
        let Some((fault,)) = fetch_optional!(&self.store, (String,), ANY, call.word())? else { return Ok(None) };
        let used = execute!(&self.store, USE, call.word(), &fault)?;
        Ok((used > 0).then_some(fault))
    }

    async fn spoil(&self, call: Call, fault: &str, times: i64) -> Result<(), StoreError> {
        const SPOIL: &str = "INSERT INTO sandbox_faults (call, fault, times) VALUES ($1, $2, $3) \
                             ON CONFLICT (call) DO UPDATE SET fault = excluded.fault, times = excluded.times";
        execute!(&self.store, SPOIL, call.word(), fault, times).map(|_row| ())
    }

    async fn faults(&self) -> Result<FaultsView, StoreError> {
        const ALL: &str = "SELECT call, fault, times FROM sandbox_faults WHERE times > 0 ORDER BY call LIMIT 10";
        let rows = fetch_all!(&self.store, (String, String, i64), ALL)?;
        let view = |(call, fault, times): (String, String, i64)| {
            let call = Call::ALL.into_iter().find(|known| known.word() == call)?;
            Some(FaultView { call, fault, times })
        };
        Ok(FaultsView { faults: rows.into_iter().filter_map(view).collect() })
    }
}

/// Let the sandbox's next calls go wrong: fail, not be done yet, lose their answer, arrive twice; payouts also be refused or need their user.
#[utoipa::path(tag = "sandbox", operation_id = "spoil_sandbox", request_body = NewFaults, security(("session" = []), ("operator" = ["viewer"])),
    responses((status = 200, description = "The faults to come", body = FaultsView)), extensions(("x-refusals" = json!([Code::NotFound]))))]
#[post("/v1/sandbox/faults", wrap = "from_fn(idempotency::once)")]
pub async fn spoil(app: Data<App>, request: HttpRequest, body: Json<NewFaults>) -> Result<HttpResponse, Problem> {
    let sandbox = app.sandbox.as_ref().ok_or(Code::NotFound)?;
    caller::tester(&app, &request).await?;
    let NewFaults { refund, close, query, payout, times } = body.0;
    if !(0..=MOST).contains(&times) {
        return Err(Problem::invalid("times", format!("must be 0 to {MOST}")));
    }
    let [refund, close, query] = [refund, close, query].map(|fault| fault.map(Fault::word));
    let payout = payout.map(PayoutFault::word);
    for (call, fault) in [(Call::Refund, refund), (Call::Close, close), (Call::Query, query), (Call::Payout, payout)] {
        if let Some(fault) = fault {
            sandbox.spoil(call, fault, times).await?;
        }
    }
    Ok(HttpResponse::Ok().json(sandbox.faults().await?))
}
