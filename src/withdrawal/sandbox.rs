//! The sandbox as a payout provider. What goes wrong is asked for like its other faults: a payout fails, takes long, loses its answer, arrives twice,
//! is refused for good, or waits for its user to confirm, a day at most.

use serde_json::json;

use super::provider::{Outcome, Payout, PayoutProvider};
use crate::id::{UserId, WithdrawalId};
use crate::order::budget::Call;
use crate::order::faults::PayoutFault;
use crate::order::provider::{Asked, ProviderError};
use crate::order::sandbox::{SANDBOX, Sandbox, failed, lost};
use crate::store::{StoreError, execute, fetch_one};

/// How long a payout waits for its user, in seconds.
const PATIENCE: i64 = 24 * 3600;

impl Sandbox {
    /// Makes the payout, once whoever asks how often, and says where it stands.
    async fn pay_out_once(&self, payout: Payout, begins: &str) -> Result<Outcome, ProviderError> {
        const MAKE: &str = "INSERT INTO sandbox_payouts (number, user_id, amount_fen, state, created_at) VALUES ($1, $2, $3, $4, $5) \
                            ON CONFLICT (number) DO NOTHING";
        const TOO_LATE: &str = "UPDATE sandbox_payouts SET state = 'refused', declined = 'not confirmed in time' \
                                WHERE number = $1 AND state = 'waiting' AND created_at <= $2";
        const STATE: &str = "SELECT state, declined FROM sandbox_payouts WHERE number = $1";
        let Payout { number, user, amount } = payout;
        let now = self.clock.now();
        execute!(&self.store, MAKE, number, user, amount, begins, now)?;
        execute!(&self.store, TOO_LATE, number, now.plus_seconds(-PATIENCE))?;
        let (state, declined) = fetch_one!(&self.store, (String, Option<String>), STATE, number)?;
        Ok(match (state.as_str(), declined) {
            ("done", _) => Outcome::Done,
            ("waiting", _) => Outcome::AwaitsUser(json!({"confirm_path": format!("/v1/sandbox/withdrawals/{number}/confirm")})),
            (_, Some(why)) => Outcome::Declined(why),
            (_, None) => Outcome::Refused("refused by the sandbox".to_owned()),
        })
    }

    /// The user confirms a payout that waits for it, or turns it down. What does not wait stays as it is.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn confirm_payout(&self, number: WithdrawalId, user: UserId, accepts: bool) -> Result<(), StoreError> {
        const CONFIRM: &str =
            "UPDATE sandbox_payouts SET state = $1, declined = $2 WHERE number = $3 AND user_id = $4 AND state = 'waiting'";
        let (state, declined) = if accepts { ("done", None) } else { ("refused", Some("turned down by its user")) };
        execute!(&self.store, CONFIRM, state, declined, number, user).map(|_row| ())
    }
}

impl PayoutProvider for Sandbox {
    fn name(&self) -> &'static str {
        SANDBOX
    }

    fn pay_out(&self, payout: Payout) -> Asked<'_, Outcome> {
        Box::pin(async move {
            let fault = self.fault(Call::Payout).await?.and_then(|word| PayoutFault::from_word(&word));
            match fault {
                Some(PayoutFault::Fail) => Err(failed()),
                Some(PayoutFault::Delay) => Ok(Outcome::UnderWay),
                Some(PayoutFault::Lose) => self.pay_out_once(payout, "done").await.and(Err(lost())),
                Some(PayoutFault::Duplicate) => {
                    self.pay_out_once(payout, "done").await?;
                    self.pay_out_once(payout, "done").await
                }
                Some(PayoutFault::Refuse) => self.pay_out_once(payout, "refused").await,
                Some(PayoutFault::Confirm) => self.pay_out_once(payout, "waiting").await,
                None => self.pay_out_once(payout, "done").await,
            }
        })
    }
}
