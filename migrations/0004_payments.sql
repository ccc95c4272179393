-- Talking to payment providers. `payments`, `refunds`, `closings` and `sandbox_notifications` are work lists with the same states:
-- 'pending' (due at next_attempt_at), 'done', 'stuck' (given to a person; attempts ended).

-- Written before the provider is called, so that no payment is ever for an unknown order.
CREATE TABLE payment_requests (
    order_id    TEXT   NOT NULL PRIMARY KEY,
    campaign_id TEXT   NOT NULL,
    provider    TEXT   NOT NULL,
    amount_fen  BIGINT NOT NULL CHECK (amount_fen >= 0),
    created_at  BIGINT NOT NULL,
    looks       BIGINT NOT NULL CHECK (looks >= 0), -- how often the provider was asked whether it was paid
    look_at     BIGINT             -- when to ask next; NULL: decided
);
CREATE INDEX payment_requests_due ON payment_requests (look_at);

-- The inbox: each notification is here before anything else happens, once per transaction.
CREATE TABLE payments (
    transaction_id  TEXT   NOT NULL PRIMARY KEY,
    provider        TEXT   NOT NULL,
    order_id        TEXT   NOT NULL,
    campaign_id     TEXT,             -- NULL: the order number is none of ours
    amount_fen      BIGINT NOT NULL CHECK (amount_fen >= 0),
    paid_at         BIGINT NOT NULL,
    received_at     BIGINT NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('pending', 'done', 'stuck')),
    attempts        BIGINT NOT NULL CHECK (attempts >= 0),
    next_attempt_at BIGINT NOT NULL,
    note            TEXT
);
CREATE INDEX payments_due ON payments (state, next_attempt_at);
CREATE INDEX payments_by_order ON payments (order_id);

-- A refund keeps its number over all attempts, so the provider executes it once.
CREATE TABLE refunds (
    refund_no       TEXT   NOT NULL PRIMARY KEY,
    order_id        TEXT   NOT NULL,
    campaign_id     TEXT,
    provider        TEXT   NOT NULL,
    transaction_id  TEXT   NOT NULL,
    amount_fen      BIGINT NOT NULL CHECK (amount_fen > 0),
    reason          TEXT   NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('pending', 'done', 'stuck')),
    attempts        BIGINT NOT NULL CHECK (attempts >= 0),
    next_attempt_at BIGINT NOT NULL,
    last_error      TEXT,
    created_at      BIGINT NOT NULL,
    done_at         BIGINT
);
CREATE INDEX refunds_due ON refunds (state, next_attempt_at);
CREATE INDEX refunds_by_order ON refunds (order_id);
CREATE INDEX refunds_by_transaction ON refunds (transaction_id);

-- Orders whose payment the provider is asked to close before their seat is given up.
CREATE TABLE closings (
    order_id        TEXT   NOT NULL PRIMARY KEY,
    campaign_id     TEXT   NOT NULL,
    provider        TEXT   NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('pending', 'done', 'stuck')),
    attempts        BIGINT NOT NULL CHECK (attempts >= 0),
    next_attempt_at BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    done_at         BIGINT
);
CREATE INDEX closings_due ON closings (state, next_attempt_at);

-- The sandbox provider's own books: what it would know if it were a company elsewhere.
CREATE TABLE sandbox_trades (
    order_id       TEXT   NOT NULL PRIMARY KEY,
    amount_fen     BIGINT NOT NULL CHECK (amount_fen >= 0),
    state          TEXT   NOT NULL CHECK (state IN ('open', 'paid', 'closed')),
    transaction_id TEXT   UNIQUE,
    paid_at        BIGINT,
    created_at     BIGINT NOT NULL
);

CREATE TABLE sandbox_refunds (
    refund_no      TEXT   NOT NULL PRIMARY KEY,
    transaction_id TEXT   NOT NULL,
    amount_fen     BIGINT NOT NULL CHECK (amount_fen > 0),
    executed_at    BIGINT NOT NULL
);
CREATE INDEX sandbox_refunds_by_transaction ON sandbox_refunds (transaction_id);

CREATE TABLE sandbox_notifications (
    id             TEXT   NOT NULL PRIMARY KEY,
    transaction_id TEXT   NOT NULL,
    due_at         BIGINT NOT NULL,
    body           TEXT   NOT NULL,
    state          TEXT   NOT NULL CHECK (state IN ('pending', 'done', 'stuck')),
    attempts       BIGINT NOT NULL CHECK (attempts >= 0)
);
CREATE INDEX sandbox_notifications_due ON sandbox_notifications (state, due_at);
