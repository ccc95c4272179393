-- What the log's events add up to: rooms, orders and stock. `seq` is the log place last applied; an older telling changes nothing.
-- The CHECKs are the promises themselves: no room overfilled, no unit sold twice, nothing refunded that was not paid.

CREATE TABLE rooms (
    id              TEXT   NOT NULL PRIMARY KEY,
    campaign_id     TEXT   NOT NULL,
    sku             TEXT   NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('open', 'formed', 'failed')),
    size            BIGINT NOT NULL CHECK (size > 0),
    seats_taken     BIGINT NOT NULL, -- held, closing and paid
    seats_paid      BIGINT NOT NULL CHECK (seats_paid >= 0),
    leader_order_id TEXT,
    leader_user_id  TEXT,
    price_fen       BIGINT NOT NULL CHECK (price_fen >= 0),
    expires_at      BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    seq             BIGINT NOT NULL,
    CHECK (seats_paid <= seats_taken AND seats_taken <= size)
);
CREATE INDEX rooms_by_campaign ON rooms (campaign_id, created_at, id);
CREATE INDEX rooms_by_state ON rooms (campaign_id, state, created_at, id);

CREATE TABLE orders (
    id             TEXT   NOT NULL PRIMARY KEY,
    campaign_id    TEXT   NOT NULL,
    room_id        TEXT,
    user_id        TEXT   NOT NULL,
    sku            TEXT   NOT NULL,
    state          TEXT   NOT NULL CHECK (state IN
        ('held', 'closing', 'released', 'paid', 'confirmed', 'fulfilled', 'refund_due', 'refunded')),
    quantity       BIGINT NOT NULL CHECK (quantity > 0),
    unit_fen       BIGINT NOT NULL CHECK (unit_fen >= 0),
    amount_fen     BIGINT NOT NULL CHECK (amount_fen >= 0),
    paid_fen       BIGINT NOT NULL CHECK (paid_fen >= 0),
    refund_due_fen BIGINT NOT NULL CHECK (refund_due_fen >= 0), -- all that was ever sent back, executed or not
    refunded_fen   BIGINT NOT NULL CHECK (refunded_fen >= 0),   -- the executed part
    reason         TEXT,
    pay_by         BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    paid_at        BIGINT,
    updated_at     BIGINT NOT NULL,
    seq            BIGINT NOT NULL,
    version        BIGINT NOT NULL, -- of the definition it was decided under
    CHECK (refund_due_fen <= paid_fen AND refunded_fen <= paid_fen)
);
CREATE INDEX orders_by_campaign ON orders (campaign_id, created_at, id);
CREATE INDEX orders_by_state ON orders (campaign_id, state, created_at, id);
CREATE INDEX orders_by_user ON orders (user_id, created_at, id);
CREATE INDEX orders_by_room ON orders (room_id);

CREATE TABLE stock (
    campaign_id TEXT   NOT NULL,
    sku         TEXT   NOT NULL,
    put_in      BIGINT NOT NULL,
    left_units  BIGINT NOT NULL CHECK (left_units >= 0),
    held        BIGINT NOT NULL CHECK (held >= 0),
    sold        BIGINT NOT NULL CHECK (sold >= 0),
    returned    BIGINT NOT NULL CHECK (returned >= 0), -- taken back by the operator
    seq         BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, sku),
    CHECK (put_in = left_units + held + sold + returned)
);
