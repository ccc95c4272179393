-- Campaigns, and the log of everything decided in them.

CREATE TABLE campaigns (
    id         TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL CHECK (kind IN ('group_buy', 'bargain', 'referral')),
    title      TEXT   NOT NULL,
    state      TEXT   NOT NULL CHECK (state IN ('draft', 'scheduled', 'live', 'paused', 'ended', 'archived')),
    definition TEXT   NOT NULL,
    version    BIGINT NOT NULL CHECK (version >= 0),
    starts_at  BIGINT NOT NULL,
    ends_at    BIGINT NOT NULL CHECK (ends_at > starts_at),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX campaigns_by_time ON campaigns (created_at, id);
CREATE INDEX campaigns_by_state ON campaigns (state, created_at, id);

CREATE TABLE campaign_versions (
    campaign_id TEXT   NOT NULL REFERENCES campaigns (id),
    version     BIGINT NOT NULL CHECK (version >= 0),
    definition  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, version)
);

-- How far the log is in SQL. Moved only by compare-and-set on (epoch, seq, hash), in the transaction that applies what it passes.
CREATE TABLE cursors (
    campaign_id TEXT   NOT NULL PRIMARY KEY,
    kind        TEXT   NOT NULL, -- names the Lua program
    epoch       BIGINT NOT NULL CHECK (epoch >= 0),
    seq         BIGINT NOT NULL CHECK (seq >= 0),
    hash        TEXT   NOT NULL,
    state       TEXT   NOT NULL CHECK (state IN ('serving', 'recovering', 'frozen', 'archived')),
    updated_at  BIGINT NOT NULL
);
CREATE INDEX cursors_by_state ON cursors (state);

-- One row a batch, exactly as Redis told it (events and redo): a campaign can be rebuilt from these alone.
CREATE TABLE log_entries (
    campaign_id TEXT   NOT NULL,
    first_seq   BIGINT NOT NULL CHECK (first_seq > 0),
    last_seq    BIGINT NOT NULL CHECK (last_seq >= first_seq),
    epoch       BIGINT NOT NULL,
    def_version BIGINT NOT NULL,
    hash        TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    body        BYTEA  NOT NULL,
    PRIMARY KEY (campaign_id, first_seq)
);

CREATE TABLE epochs (
    campaign_id TEXT   NOT NULL,
    epoch       BIGINT NOT NULL,
    from_seq    BIGINT NOT NULL CHECK (from_seq >= 0),
    reason      TEXT   NOT NULL,
    lost_ops    BIGINT CHECK (lost_ops >= 0),
    at          BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, epoch)
);

-- What was acknowledged by Redis alone and lost with its disk, as far as it is known.
CREATE TABLE lost_ops (
    campaign_id TEXT   NOT NULL,
    epoch       BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    op          TEXT   NOT NULL,
    order_id    TEXT,
    user_id     TEXT,
    PRIMARY KEY (campaign_id, epoch, seq)
);

-- Events SQL would not take. They wait here, with the later events of the same object; the rest of the log goes on.
CREATE TABLE parked_events (
    campaign_id TEXT   NOT NULL,
    seq         BIGINT NOT NULL,
    n           BIGINT NOT NULL, -- its place among the events of that sequence number
    object_id   TEXT   NOT NULL,
    event       TEXT   NOT NULL,
    error       TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, seq, n)
);
CREATE INDEX parked_events_by_object ON parked_events (campaign_id, object_id);
