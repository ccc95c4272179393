//! Every word with which the engine says no, in one table: the same word in Lua replies, problem bodies, metrics and README.

use serde::{Deserialize, Serialize};

/// Whether asking again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same request will be refused again.
    Never,
    /// Another time it may succeed.
    Later,
    /// The outcome is unknown; sending the very same request again is safe and tells it.
    SameRequest,
}

macro_rules! codes {
    ($($variant:ident $word:literal $status:literal $retry:ident $title:literal;)*) => {
        /// A stable problem code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// All of them, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word on the wire.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The code a word stands for.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }

            /// The HTTP status it is answered with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// Whether asking again can help.
            #[must_use]
            pub const fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry,)* }
            }

            /// One short sentence for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    MalformedRequest "malformed_request" 400 Never "The request cannot be read";
    Unauthenticated "unauthenticated" 401 Never "A valid session or key is needed";
    DeviceRequired "device_required" 401 Never "A device token is needed";
    DeviceInvalid "device_invalid" 401 Never "The device token is not valid";
    Forbidden "forbidden" 403 Never "Not allowed for this caller";
    Blocked "blocked" 403 Never "This caller is blocked";
    ChallengeRequired "challenge_required" 403 Later "A further proof is needed";
    OwnChain "own_chain" 403 Never "One's own chain cannot be helped";
    NewcomersOnly "newcomers_only" 403 Never "Only for shoppers without an earlier order";
    SelfInvite "self_invite" 403 Never "One cannot invite oneself";
    NotFound "not_found" 404 Never "There is no such thing";
    ShareInvalid "share_invalid" 404 Never "This share link is not one of ours";
    MethodNotAllowed "method_not_allowed" 405 Never "This address does not know that method";
    RequestTimeout "request_timeout" 408 SameRequest "The request took too long to arrive";
    CampaignNotLive "campaign_not_live" 409 Later "The campaign is not running now";
    RoomFull "room_full" 409 Later "All seats of this room are taken";
    RoomClosed "room_closed" 409 Never "This room has formed or failed";
    SoldOut "sold_out" 409 Later "No units are left";
    OrderLimitReached "order_limit_reached" 409 Never "No more units or orders are allowed per shopper";
    RoomLimitReached "room_limit_reached" 409 Never "No more rooms are allowed per shopper";
    ChainLimitReached "chain_limit_reached" 409 Never "No more chains are allowed per shopper";
    UnpaidLimitReached "unpaid_limit_reached" 409 Later "Pay or cancel the open order first";
    DeviceLimitReached "device_limit_reached" 409 Never "No more shoppers are allowed on this device";
    HelpLimitReached "help_limit_reached" 409 Later "No more helps are allowed per shopper";
    OrderNotPayable "order_not_payable" 409 Never "This order cannot be paid";
    OrderNotCancellable "order_not_cancellable" 409 Never "This order cannot be cancelled";
    OrderNotFulfillable "order_not_fulfillable" 409 Later "This order cannot be fulfilled now";
    NotRefundable "not_refundable" 409 Never "This order cannot be refunded so";
    ChainComplete "chain_complete" 409 Never "This chain is complete";
    FloorNotReached "floor_not_reached" 409 Later "The floor price is not reached yet";
    BondCycle "bond_cycle" 409 Never "This bond would close a circle";
    AlreadyBound "already_bound" 409 Never "Another bond holds already";
    BalanceTooLow "balance_too_low" 409 Later "The balance is too low";
    BudgetExhausted "budget_exhausted" 409 Later "The budget is used up";
    CampaignState "campaign_state" 409 Never "Not possible in the campaign's present state";
    FieldNotEditable "field_not_editable" 409 Never "This field cannot change any more";
    WithdrawalState "withdrawal_state" 409 Never "Not possible in the withdrawal's present state";
    OutsideOrderConflict "outside_order_conflict" 409 Never "This order number was reported otherwise";
    CampaignEnded "campaign_ended" 410 Never "The campaign is over";
    RoomExpired "room_expired" 410 Never "The time of this room is over";
    OrderExpired "order_expired" 410 Never "The time to pay this order is over";
    ChainExpired "chain_expired" 410 Never "The time of this chain is over";
    ShareRevoked "share_revoked" 410 Never "This share link was taken back";
    PayloadTooLarge "payload_too_large" 413 Never "The request body is too large";
    UnsupportedMediaType "unsupported_media_type" 415 Never "The body must be application/json";
    InvalidRequest "invalid_request" 422 Never "Some fields are not valid";
    IdempotencyKeyReused "idempotency_key_reused" 422 Never "This Idempotency-Key was used with another body";
    PublishBlocked "publish_blocked" 422 Never "The campaign cannot be published yet";
    RateLimited "rate_limited" 429 Later "Too many requests";
    Internal "internal" 500 SameRequest "Something broke here";
    Overloaded "overloaded" 503 Later "Too much at once";
    Recovering "recovering" 503 Later "The campaign is being brought back";
    OutcomeUnknown "outcome_unknown" 503 SameRequest "The outcome is not known yet";
}
