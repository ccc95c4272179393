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

-- Money on its way to a user. What happens to it is told in src/withdrawal/mod.rs.
CREATE TABLE withdrawals (
    id              TEXT   NOT NULL PRIMARY KEY, -- also the payout provider's number, the same in every try
    user_id         TEXT   NOT NULL,
    amount_fen      BIGINT NOT NULL CHECK (amount_fen > 0),
    state           TEXT   NOT NULL CHECK (state IN ('pending', 'approved', 'awaiting_user', 'stuck', 'done', 'returned')),
    reason          TEXT,             -- why it was returned
    provider        TEXT   NOT NULL,
    confirmation    TEXT,             -- JSON: what the user's client needs to confirm it
    decided_by      TEXT,             -- an operator's key; NULL: nobody needed to
    decided_at      BIGINT,
    attempts        BIGINT NOT NULL CHECK (attempts >= 0),
    next_attempt_at BIGINT NOT NULL,
    last_error      TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    done_at         BIGINT            -- paid out or returned
);
CREATE INDEX withdrawals_by_user ON withdrawals (user_id, created_at, id);
CREATE INDEX withdrawals_by_time ON withdrawals (created_at, id);
CREATE INDEX withdrawals_due ON withdrawals (state, next_attempt_at);

-- The sandbox provider's own books of what it pays out.
CREATE TABLE sandbox_payouts (
    number      TEXT   NOT NULL PRIMARY KEY,
    user_id     TEXT   NOT NULL,
    amount_fen  BIGINT NOT NULL CHECK (amount_fen > 0),
    state       TEXT   NOT NULL CHECK (state IN ('waiting', 'done', 'refused')),
    created_at  BIGINT NOT NULL
);

-- Payouts are calls like others: they fail within a budget and can be spoiled by testers.
DROP TABLE provider_failures;
CREATE TABLE provider_failures (
    provider   TEXT   NOT NULL,
    call       TEXT   NOT NULL CHECK (call IN ('refund', 'close', 'query', 'payout')),
    used_until BIGINT NOT NULL,
    PRIMARY KEY (provider, call)
);

DROP TABLE sandbox_faults;
CREATE TABLE sandbox_faults (
    call  TEXT   NOT NULL PRIMARY KEY CHECK (call IN ('refund', 'close', 'query', 'payout')),
    fault TEXT   NOT NULL CHECK (fault IN ('fail', 'delay', 'lose', 'duplicate', 'refuse', 'confirm')),
    times BIGINT NOT NULL CHECK (times >= 0)
);
