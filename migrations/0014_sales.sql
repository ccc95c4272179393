-- What crosses campaigns: orders that earn in a referral programme, and orders that were made elsewhere.

-- An order that somebody earns by, decided when it was placed. What changes of it is told to its referral campaign, which may be told the same
-- any number of times. state: 'pending' (there is something to tell, due at next_attempt_at), 'done' (nothing, or not yet), 'stuck' (given
-- to a person).
CREATE TABLE sales (
    number          TEXT   NOT NULL PRIMARY KEY, -- the order's id, or the shop's own number, which never reads as one
    campaign_id     TEXT   NOT NULL,             -- the referral campaign
    version         BIGINT NOT NULL,             -- of its definition, whose rates count
    buyer_id        TEXT   NOT NULL,
    level1_id       TEXT   NOT NULL,             -- who invited the buyer
    level2_id       TEXT,                        -- who invited that one
    sku             TEXT,
    amount_fen      BIGINT NOT NULL CHECK (amount_fen >= 0),
    placed_at       BIGINT NOT NULL,
    paid_at         BIGINT,                      -- NULL: nothing is earned yet
    refunded_fen    BIGINT NOT NULL CHECK (refunded_fen >= 0 AND refunded_fen <= amount_fen), -- decided, in all
    fulfilled_at    BIGINT,
    state           TEXT   NOT NULL CHECK (state IN ('pending', 'done', 'stuck')),
    attempts        BIGINT NOT NULL CHECK (attempts >= 0),
    next_attempt_at BIGINT NOT NULL,
    note            TEXT,
    CHECK (state = 'done' OR paid_at IS NOT NULL)
);
CREATE INDEX sales_due ON sales (campaign_id, next_attempt_at) WHERE state = 'pending';
CREATE INDEX sales_by_time ON sales (placed_at, number);
CREATE INDEX sales_by_state ON sales (state, placed_at, number);

-- Orders that the shop took elsewhere, as it reports them. They never go back in state, and what went back of their money never falls.
CREATE TABLE outside_orders (
    number       TEXT   NOT NULL PRIMARY KEY,
    user_id      TEXT   NOT NULL,
    amount_fen   BIGINT NOT NULL CHECK (amount_fen >= 0),
    refunded_fen BIGINT NOT NULL CHECK (refunded_fen >= 0 AND refunded_fen <= amount_fen),
    state        TEXT   NOT NULL CHECK (state IN ('paid', 'fulfilled', 'refunded')),
    sku          TEXT,
    occurred_at  BIGINT NOT NULL,
    fulfilled_at BIGINT,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE INDEX outside_orders_by_time ON outside_orders (created_at, number);
CREATE INDEX outside_orders_by_user ON outside_orders (user_id, created_at, number);
