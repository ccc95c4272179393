-- Orders at the operators' desk, providers that fail, people who are forgotten.

-- The link its shopper came by, and what operators wrote on it. Neither is part of hot state.
ALTER TABLE orders ADD COLUMN share_token TEXT;
ALTER TABLE orders ADD COLUMN metadata TEXT;

-- A provider allows few failing calls: until when those that failed use up what it allows.
CREATE TABLE provider_failures (
    provider   TEXT   NOT NULL,
    call       TEXT   NOT NULL CHECK (call IN ('refund', 'close', 'query')),
    used_until BIGINT NOT NULL,
    PRIMARY KEY (provider, call)
);

-- How the sandbox is to behave at its next calls.
CREATE TABLE sandbox_faults (
    call  TEXT   NOT NULL PRIMARY KEY CHECK (call IN ('refund', 'close', 'query')),
    fault TEXT   NOT NULL CHECK (fault IN ('fail', 'delay', 'lose', 'duplicate')),
    times BIGINT NOT NULL CHECK (times >= 0)
);

-- Lists and reconciliation go by time.
CREATE INDEX payments_by_arrival ON payments (received_at, transaction_id);
CREATE INDEX payments_by_time ON payments (paid_at);
CREATE INDEX refunds_by_time ON refunds (created_at, refund_no);
CREATE INDEX refunds_by_end ON refunds (done_at);
CREATE INDEX sandbox_trades_by_time ON sandbox_trades (paid_at);
CREATE INDEX sandbox_refunds_by_time ON sandbox_refunds (executed_at);

-- Whose personal data was erased; name and external id are gone, what they bought stays under their id.
ALTER TABLE users ADD COLUMN erased_at BIGINT;

-- Other nodes read what was ended lately, not all of it. The id of a user here ends all sessions of that user.
ALTER TABLE session_revocations ADD COLUMN ended_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX session_revocations_by_end ON session_revocations (ended_at);
