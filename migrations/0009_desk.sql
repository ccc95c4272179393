-- What operators did to a running campaign, and under which rules a room was opened.

ALTER TABLE campaigns ADD COLUMN paused_by TEXT NOT NULL DEFAULT '' CHECK (paused_by IN ('', 'operator', 'loss_budget'));
ALTER TABLE campaigns ADD COLUMN may_open BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE campaigns ADD COLUMN may_join BOOLEAN NOT NULL DEFAULT TRUE;

ALTER TABLE rooms ADD COLUMN version BIGINT NOT NULL DEFAULT 0; -- of the definition it was opened under

CREATE INDEX audit_log_by_actor ON audit_log (actor, at, id);

-- The order in which operators are told of all campaigns' logs: span after span, each a stretch of one campaign's log. A span is written when
-- SQL holds all of it, and never changes, so whoever has read up to one has missed nothing before it.
CREATE TABLE feed_spans (
    position    BIGINT NOT NULL PRIMARY KEY,
    campaign_id TEXT   NOT NULL,
    after_seq   BIGINT NOT NULL CHECK (after_seq >= 0),
    up_to_seq   BIGINT NOT NULL CHECK (up_to_seq > after_seq),
    UNIQUE (campaign_id, after_seq) -- nothing is laid out twice
);
CREATE INDEX feed_spans_by_campaign ON feed_spans (campaign_id, position);

-- Up to where each campaign's log is in spans.
CREATE TABLE feed_cursors (
    campaign_id TEXT   NOT NULL PRIMARY KEY,
    seq         BIGINT NOT NULL
);

-- One row: the last position. Moved by compare-and-set, so that spans are written one after the other.
CREATE TABLE feed_head (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    position BIGINT NOT NULL
);
INSERT INTO feed_head (id, position) VALUES (1, 0);
