-- The ledger: double-entry transfers between accounts, and withdrawals, which are the way out of it.

-- An account's balance is what came in (credits) less what went out (debits). Three may be below zero: money that came from outside is owed to the
-- outside (`taken`), rewards are owed by the operator (`rewards`), and a debt is never anything else.
CREATE TABLE accounts (
    id          TEXT   NOT NULL PRIMARY KEY, -- <kind>:<owner>
    kind        TEXT   NOT NULL CHECK (kind IN ('taken', 'received', 'kept', 'refunds_due', 'rewards',
                                                'frozen', 'available', 'debt', 'withdrawing', 'withdrawn')),
    owner       TEXT   NOT NULL,             -- a campaign, or a user
    balance_fen BIGINT NOT NULL,
    lines       BIGINT NOT NULL,             -- of `available`: lines in its user's statement
    CHECK (balance_fen >= 0 OR kind IN ('taken', 'rewards', 'debt')),
    CHECK (balance_fen <= 0 OR kind <> 'debt'),
    CHECK (lines >= 0)
);

CREATE TABLE transfers (
    reference      TEXT   NOT NULL PRIMARY KEY, -- what it is for, once
    from_account   TEXT   NOT NULL,
    to_account     TEXT   NOT NULL,
    amount_fen     BIGINT NOT NULL CHECK (amount_fen > 0),
    kind           TEXT   NOT NULL,
    at             BIGINT NOT NULL,
    campaign_id    TEXT,
    order_number   TEXT,
    level          BIGINT CHECK (level IN (1, 2)),
    withdrawal_id  TEXT,
    user_id        TEXT,                        -- whose statement it stands in
    line           BIGINT,                      -- and at which place, from 1 without gaps
    from_after_fen BIGINT NOT NULL,             -- both balances after it
    to_after_fen   BIGINT NOT NULL,
    UNIQUE (user_id, line),
    CHECK (from_account <> to_account),
    CHECK ((user_id IS NULL) = (line IS NULL))
);
CREATE INDEX transfers_by_campaign ON transfers (campaign_id, order_number);
