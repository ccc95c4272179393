-- Ladders, and seats for newcomers.

ALTER TABLE rooms ADD COLUMN tiers TEXT;          -- JSON, a list of [size, price_fen]; NULL: one size
ALTER TABLE rooms ADD COLUMN accept_from BIGINT;  -- paid members with whom it forms at its deadline; NULL: as many as its tiers ask for

ALTER TABLE orders ADD COLUMN newcomer BIGINT NOT NULL DEFAULT 0; -- 1: its buyer must be one when it is paid

-- Who holds an unpaid newcomers' seat, or is about to: one per shopper over all campaigns, written before the seat is asked for. Once the
-- seat is paid the shopper is no newcomer any more, once it is given up the claim goes.
CREATE TABLE newcomer_claims (
    user_id    TEXT   NOT NULL PRIMARY KEY,
    order_id   TEXT   NOT NULL,
    room_id    TEXT   NOT NULL,
    claimed_at BIGINT NOT NULL
);
CREATE INDEX newcomer_claims_by_order ON newcomer_claims (order_id);
