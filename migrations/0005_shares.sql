-- Share links: who shared what with whom. A link attributes and never authorises.

CREATE TABLE shares (
    token          TEXT   NOT NULL PRIMARY KEY,
    campaign_id    TEXT   NOT NULL,
    sharer_user_id TEXT,             -- NULL: the campaign's own link
    target_id      TEXT,             -- a room, or NULL for the campaign
    parent_token   TEXT,             -- the link by which the sharer came
    channel        TEXT,
    created_at     BIGINT NOT NULL,
    revoked_at     BIGINT,
    visits         BIGINT NOT NULL CHECK (visits >= 0)
);
CREATE INDEX shares_by_campaign ON shares (campaign_id, created_at, token);
CREATE INDEX shares_by_sharer ON shares (sharer_user_id, campaign_id);
CREATE INDEX shares_by_parent ON shares (parent_token);
