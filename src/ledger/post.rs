//! Transfers and how they are booked: many at once, in the transaction of whoever has a reason for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use super::account::Account;
use crate::clock::UnixMs;
use crate::id::{CampaignId, UserId, WithdrawalId};
use crate::money::Fen;
use crate::projector::Statements;
use crate::store::{BulkRow, BulkRows, StoreError, Tx, bulk_row};

/// Why money moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TransferKind)]
pub enum Kind {
    /// An order was paid.
    OrderPaid,
    /// A payment that buys nothing is to go back.
    PaymentReturned,
    /// An order's good is certain.
    OrderConfirmed,
    /// A refund was decided.
    RefundDue,
    /// A refund was executed.
    Refunded,
    /// A reward was earned; it is frozen.
    RewardFrozen,
    /// A reward's freeze is over.
    RewardAvailable,
    /// A reward was taken back.
    RewardReversed,
    /// A debt was paid from what was available.
    DebtSettled,
    /// A withdrawal was asked for.
    WithdrawalHeld,
    /// A withdrawal was paid out.
    WithdrawalDone,
    /// A withdrawal came back.
    WithdrawalReturned,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::OrderPaid,
        Self::PaymentReturned,
        Self::OrderConfirmed,
        Self::RefundDue,
        Self::Refunded,
        Self::RewardFrozen,
        Self::RewardAvailable,
        Self::RewardReversed,
        Self::DebtSettled,
        Self::WithdrawalHeld,
        Self::WithdrawalDone,
        Self::WithdrawalReturned,
    ];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::OrderPaid => "order_paid",
            Self::PaymentReturned => "payment_returned",
            Self::OrderConfirmed => "order_confirmed",
            Self::RefundDue => "refund_due",
            Self::Refunded => "refunded",
            Self::RewardFrozen => "reward_frozen",
            Self::RewardAvailable => "reward_available",
            Self::RewardReversed => "reward_reversed",
            Self::DebtSettled => "debt_settled",
            Self::WithdrawalHeld => "withdrawal_held",
            Self::WithdrawalDone => "withdrawal_done",
            Self::WithdrawalReturned => "withdrawal_returned",
        }
    }

    /// The kind a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Money that moves from one account to another. Both belong to campaigns, or at most one user is among their owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// What it is for; unique over all transfers.
    pub reference: String,
    /// Where it comes from.
    pub from: Account,
    /// Where it goes to.
    pub to: Account,
    /// How much; none is booked where nothing moves.
    pub amount: Fen,
    /// Why.
    pub kind: Kind,
    /// When.
    pub at: UnixMs,
    /// In which campaign.
    pub campaign: Option<CampaignId>,
    /// For which order: ours, or the shop's number of one made elsewhere.
    pub order_number: Option<String>,
    /// Of a reward: its level, 1 or 2.
    pub level: Option<i64>,
    /// For which withdrawal.
    pub withdrawal: Option<WithdrawalId>,
}

bulk_row! {
    struct Touched { id: String, kind: &'static str, owner: String, place: i64 }
}
bulk_row! {
    struct Line {
        reference: String,
        from_account: String,
        to_account: String,
        amount_fen: Fen,
        kind: &'static str,
        at: UnixMs,
        campaign_id: Option<CampaignId>,
        order_number: Option<String>,
        level: Option<i64>,
        withdrawal_id: Option<WithdrawalId>,
        user_id: Option<UserId>,
        wallet: Option<String>,
        place: Option<i64>,
        from_moved: i64,
        to_moved: i64,
    }
}
bulk_row! {
    struct Move { account: String, amount_fen: i64, lines: i64 }
}
bulk_row! {
    struct Settlement { reference: String, available: String, debt: String, user_id: UserId, at: UnixMs }
}
bulk_row! {
    struct Side { reference: String, account: String, sign: i64, lines: i64 }
}

/// Makes the accounts that are missing and locks all of them, in this order: Postgres locks a row on conflict also where nothing is to be updated.
static TOUCHED: LazyLock<BulkRows<Touched>> = LazyLock::new(|| {
    BulkRows::over(
        "INSERT INTO accounts (id, kind, owner, balance_fen, lines) SELECT r.id, r.kind, r.owner, 0, 0 FROM",
        "WHERE true ORDER BY r.place ON CONFLICT (id) DO UPDATE SET lines = accounts.lines WHERE false",
    )
});

static LINES: LazyLock<BulkRows<Line>> = LazyLock::new(|| {
    BulkRows::over(
        "INSERT INTO transfers (reference, from_account, to_account, amount_fen, kind, at, campaign_id, order_number, level, withdrawal_id, \
         user_id, line, from_after_fen, to_after_fen) \
         SELECT r.reference, r.from_account, r.to_account, r.amount_fen, r.kind, r.at, r.campaign_id, r.order_number, r.level, \
         r.withdrawal_id, r.user_id, wallet.lines + r.place, sender.balance_fen + r.from_moved, receiver.balance_fen + r.to_moved FROM",
        "JOIN accounts AS sender ON sender.id = r.from_account JOIN accounts AS receiver ON receiver.id = r.to_account \
         LEFT JOIN accounts AS wallet ON wallet.id = r.wallet",
    )
});

static MOVES: LazyLock<BulkRows<Move>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE accounts SET balance_fen = accounts.balance_fen + r.amount_fen, lines = accounts.lines + r.lines FROM",
        "WHERE accounts.id = r.account",
    )
});

/// The lesser of what is available and what is owed.
macro_rules! settled {
    () => {
        "CASE WHEN wallet.balance_fen < -debt.balance_fen THEN wallet.balance_fen ELSE -debt.balance_fen END"
    };
}

static SETTLEMENTS: LazyLock<BulkRows<Settlement>> = LazyLock::new(|| {
    BulkRows::over(
        concat!(
            "INSERT INTO transfers (reference, from_account, to_account, amount_fen, kind, at, user_id, line, from_after_fen, to_after_fen) \
             SELECT r.reference, r.available, r.debt, ",
            settled!(),
            ", 'debt_settled', r.at, r.user_id, wallet.lines + 1, wallet.balance_fen - ",
            settled!(),
            ", debt.balance_fen + ",
            settled!(),
            " FROM"
        ),
        "JOIN accounts AS wallet ON wallet.id = r.available JOIN accounts AS debt ON debt.id = r.debt \
         WHERE wallet.balance_fen > 0 AND debt.balance_fen < 0",
    )
});

static SIDES: LazyLock<BulkRows<Side>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE accounts SET balance_fen = accounts.balance_fen + r.sign * transfers.amount_fen, lines = accounts.lines + r.lines FROM",
        "JOIN transfers ON transfers.reference = r.reference WHERE accounts.id = r.account",
    )
});

/// Books transfers for a page of the log, and pays the debts that can then be paid. Where nothing moves, no statement is added.
///
/// # Errors
/// `Defect` for a value that cannot be sent. When the statements run: `Rejected` for a reference that is booked already, and for an account that
/// would go below zero.
pub fn post(statements: &mut Statements, transfers: &[Transfer]) -> Result<(), StoreError> {
    let posting = Posting::of(transfers);
    statements.add(&TOUCHED, &posting.touched)?;
    statements.add(&LINES, &posting.lines)?;
    statements.add(&MOVES, &posting.moves)?;
    statements.add(&SETTLEMENTS, &posting.settlements)?;
    statements.add(&SIDES, &posting.sides)
}

/// The same in a transaction that is at hand.
///
/// # Errors
/// `Rejected` for a reference that is booked already, and for an account that would go below zero; the transaction can then only be rolled back.
pub async fn post_now(tx: &mut Tx, transfers: &[Transfer]) -> Result<(), StoreError> {
    let posting = Posting::of(transfers);
    write(tx, &TOUCHED, &posting.touched).await?;
    write(tx, &LINES, &posting.lines).await?;
    write(tx, &MOVES, &posting.moves).await?;
    write(tx, &SETTLEMENTS, &posting.settlements).await?;
    write(tx, &SIDES, &posting.sides).await
}

/// Makes and locks accounts, and with each user's all that is theirs.
pub(super) async fn lock(tx: &mut Tx, accounts: &[Account]) -> Result<(), StoreError> {
    write(tx, &TOUCHED, &touched(accounts.iter().copied())).await
}

async fn write<R: BulkRow>(tx: &mut Tx, statement: &'static BulkRows<R>, rows: &[R]) -> Result<(), StoreError> {
    statement.write(tx, rows).await.map(|_count| ())
}

/// The rows that some transfers come to.
#[derive(Default)]
struct Posting {
    touched: Vec<Touched>,
    lines: Vec<Line>,
    moves: Vec<Move>,
    settlements: Vec<Settlement>,
    sides: Vec<Side>,
}

impl Posting {
    fn of(transfers: &[Transfer]) -> Self {
        let moving = || transfers.iter().filter(|transfer| transfer.amount != Fen::ZERO);
        let mut moved: BTreeMap<String, Move> = BTreeMap::new();
        let mut shift = |account: String, amount_fen: i64, lines: i64| {
            let moved = moved.entry(account.clone()).or_insert(Move { account, amount_fen: 0, lines: 0 });
            moved.amount_fen = moved.amount_fen.saturating_add(amount_fen);
            moved.lines = moved.lines.saturating_add(lines);
            (moved.amount_fen, moved.lines)
        };
        let mut lines = Vec::new();
        for transfer in moving() {
            let user_id = transfer.from.user().or(transfer.to.user());
            let wallet = user_id.map(|user| Account::Available(user).to_string());
            let place = wallet.clone().map(|wallet| shift(wallet, 0, 1).1);
            let (from_moved, _) = shift(transfer.from.to_string(), transfer.amount.get().saturating_neg(), 0);
            let (to_moved, _) = shift(transfer.to.to_string(), transfer.amount.get(), 0);
            lines.push(Line {
                reference: transfer.reference.clone(),
                from_account: transfer.from.to_string(),
                to_account: transfer.to.to_string(),
                amount_fen: transfer.amount,
                kind: transfer.kind.word(),
                at: transfer.at,
                campaign_id: transfer.campaign,
                order_number: transfer.order_number.clone(),
                level: transfer.level,
                withdrawal_id: transfer.withdrawal,
                user_id,
                wallet,
                place,
                from_moved,
                to_moved,
            });
        }
        let (settlements, sides) = settlements(moving());
        let touched = touched(moving().flat_map(|transfer| [transfer.from, transfer.to]));
        Self { touched, lines, moves: moved.into_values().collect(), settlements, sides }
    }
}

/// The accounts, each once and in order, and `available` of every user among their owners.
fn touched(accounts: impl Iterator<Item = Account>) -> Vec<Touched> {
    let with_wallet = |account: Account| [Some(account), account.user().map(Account::Available)];
    let accounts: BTreeMap<String, Account> =
        accounts.flat_map(with_wallet).flatten().map(|account| (account.to_string(), account)).collect();
    let row = |(place, (id, account)): (i64, (String, Account))| Touched { id, kind: account.kind().word(), owner: account.owner(), place };
    (0_i64..).zip(accounts).map(row).collect()
}

/// Of each user for whom something became available or owed: what is available pays what is owed. Its reference follows from the last transfer
/// that gave the reason.
fn settlements<'a>(transfers: impl Iterator<Item = &'a Transfer>) -> (Vec<Settlement>, Vec<Side>) {
    let mut reasons: HashMap<UserId, &Transfer> = HashMap::new();
    for transfer in transfers {
        if let (Account::Debt(user), _) | (_, Account::Available(user)) = (transfer.from, transfer.to) {
            reasons.insert(user, transfer);
        }
    }
    let (mut settlements, mut sides) = (Vec::new(), Vec::new());
    for user in reasons.keys().copied().collect::<BTreeSet<_>>() {
        let Some(reason) = reasons.get(&user) else { continue };
        let reference = format!("settled:{}", reason.reference);
        let (available, debt) = (Account::Available(user).to_string(), Account::Debt(user).to_string());
        sides.push(Side { reference: reference.clone(), account: available.clone(), sign: -1, lines: 1 });
        sides.push(Side { reference: reference.clone(), account: debt.clone(), sign: 1, lines: 0 });
        settlements.push(Settlement { reference, available, debt, user_id: user, at: reason.at });
    }
    (settlements, sides)
}

#[cfg(test)]
mod tests {
    use super::{Kind, Posting, Transfer};
    use crate::clock::UnixMs;
    use crate::id::{CampaignId, UserId};
    use crate::ledger::Account;
    use crate::money::Fen;

    #[test]
    fn the_word_is_the_same_in_json_and_sql() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
            assert_eq!(Kind::from_word(kind.word()), Some(kind));
        }
    }

    fn transfer(reference: &str, from: Account, to: Account, fen: i64) -> Transfer {
        Transfer {
            reference: reference.into(),
            from,
            to,
            amount: Fen::new(fen),
            kind: Kind::RewardAvailable,
            at: UnixMs::new(1),
            campaign: None,
            order_number: None,
            level: None,
            withdrawal: None,
        }
    }

    #[test]
    fn a_posting_locks_in_order_moves_sums_and_numbers_the_statements_lines() {
        let user = UserId::from_hot("00000000000001").unwrap();
        let campaign = CampaignId::from_hot("00000001").unwrap();
        let (rewards, frozen, available) = (Account::Rewards(campaign), Account::Frozen(user), Account::Available(user));
        let posting = Posting::of(&[
            transfer("a", rewards, frozen, 30),
            transfer("nothing moves", rewards, frozen, 0),
            transfer("b", rewards, frozen, 12),
            transfer("c", frozen, available, 30),
        ]);
        let touched: Vec<_> = posting.touched.iter().map(|touched| (touched.kind, touched.place)).collect();
        assert_eq!(touched, [("available", 0), ("frozen", 1), ("rewards", 2)]);
        let moves: Vec<_> = posting.moves.iter().map(|moved| (moved.amount_fen, moved.lines)).collect();
        assert_eq!(moves, [(30, 3), (12, 0), (-42, 0)]);
        let lines: Vec<_> = posting.lines.iter().map(|line| (line.place, line.from_moved, line.to_moved)).collect();
        assert_eq!(lines, [(Some(1), -30, 30), (Some(2), -42, 42), (Some(3), 12, 30)]);
        assert_eq!(posting.settlements.iter().map(|due| due.reference.as_str()).collect::<Vec<_>>(), ["settled:c"]);
        let frozen_only = Posting::of(&[transfer("a", rewards, frozen, 30)]);
        assert!(frozen_only.settlements.is_empty() && frozen_only.sides.is_empty());
        assert!(Posting::of(&[]).touched.is_empty());
    }
}
