-- Chains of bargains, and which order belongs to which.

CREATE TABLE chains (
    id              TEXT   NOT NULL PRIMARY KEY,
    campaign_id     TEXT   NOT NULL,
    user_id         TEXT   NOT NULL, -- the owner
    sku             TEXT   NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('open', 'floor_reached', 'bought', 'expired')),
    start_price_fen BIGINT NOT NULL,
    floor_price_fen BIGINT NOT NULL CHECK (floor_price_fen >= 0),
    price_fen       BIGINT NOT NULL,
    cuts_taken      BIGINT NOT NULL, -- steps
    cuts_needed     BIGINT NOT NULL CHECK (cuts_needed > 0),
    next_cut_fen    BIGINT NOT NULL, -- 0 after the last step
    helps           BIGINT NOT NULL, -- helpers, without the owner
    cuts            TEXT   NOT NULL, -- JSON, a list of [user_id, steps, fen]
    commitment      TEXT   NOT NULL,
    order_id        TEXT,            -- the one that waits for its payment, or has bought
    expires_at      BIGINT NOT NULL,
    buy_by          BIGINT,          -- once the floor is reached
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    seq             BIGINT NOT NULL,
    version         BIGINT NOT NULL, -- of the definition it was started under
    CHECK (cuts_taken <= cuts_needed AND floor_price_fen <= price_fen AND price_fen <= start_price_fen)
);
CREATE INDEX chains_by_campaign ON chains (campaign_id, created_at, id);
CREATE INDEX chains_by_user ON chains (user_id);

ALTER TABLE orders ADD COLUMN chain_id TEXT;
