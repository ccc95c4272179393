-- Who uses the engine. For all files here: SQLite and Postgres run the same text. BIGINT ending in _at is Unix milliseconds, ending in
-- _fen is money. BYTEA is a blob on both (SQLite stores what it is given). Files that were released never change: add a new one.

CREATE TABLE users (
    id            TEXT   NOT NULL PRIMARY KEY,
    provider      TEXT   NOT NULL,
    external_id   TEXT   NOT NULL,
    display_name  TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    first_paid_at BIGINT,             -- NULL: a newcomer
    UNIQUE (provider, external_id)
);

-- Session tokens are stateless; only those ended early are listed, until they would have expired anyway.
CREATE TABLE session_revocations (
    session_id TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX session_revocations_by_expiry ON session_revocations (expires_at);

CREATE TABLE operator_keys (
    id           TEXT   NOT NULL PRIMARY KEY,
    name         TEXT   NOT NULL,
    role         TEXT   NOT NULL CHECK (role IN ('viewer', 'editor', 'finance', 'admin')),
    secret_hash  TEXT   NOT NULL UNIQUE, -- SHA-256, hex; the key itself is never kept
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at   BIGINT
);

CREATE TABLE audit_log (
    id     TEXT   NOT NULL PRIMARY KEY,
    at     BIGINT NOT NULL,
    actor  TEXT   NOT NULL,
    action TEXT   NOT NULL,
    target TEXT   NOT NULL,
    before TEXT,
    after  TEXT
);
CREATE INDEX audit_log_by_time ON audit_log (at, id);
CREATE INDEX audit_log_by_target ON audit_log (target, at, id);

-- Repeats of POSTs outside a campaign. A row without status is a first request still at work.
CREATE TABLE idempotency_keys (
    scope      TEXT   NOT NULL PRIMARY KEY,
    body_hash  TEXT   NOT NULL,
    status     BIGINT CHECK (status BETWEEN 100 AND 599),
    content    BYTEA,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
