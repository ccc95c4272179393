-- Referral: invite codes, bonds and what became of them, rewards.

CREATE TABLE invites (
    code        TEXT   NOT NULL PRIMARY KEY, -- 8 letters and digits that nobody mistakes for others
    campaign_id TEXT   NOT NULL,
    user_id     TEXT   NOT NULL,             -- who invites by it
    share_token TEXT   NOT NULL,             -- the link that was given with it
    created_at  BIGINT NOT NULL,
    UNIQUE (campaign_id, user_id)
);

-- As hot state has them: of each user the last, also past its time, unless it was cut.
CREATE TABLE bonds (
    campaign_id TEXT   NOT NULL,
    user_id     TEXT   NOT NULL, -- the invited
    inviter_id  TEXT   NOT NULL,
    bound_at    BIGINT NOT NULL,
    expires_at  BIGINT,
    version     BIGINT NOT NULL, -- of the definition it was made under
    seq         BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, user_id),
    CHECK (user_id <> inviter_id)
);
CREATE INDEX bonds_by_inviter ON bonds (inviter_id, campaign_id, bound_at, user_id);
CREATE INDEX bonds_by_campaign ON bonds (campaign_id, bound_at, user_id);
CREATE INDEX bonds_by_user ON bonds (user_id);

-- Every bond made or cut, in the order of the campaign's log.
CREATE TABLE bond_history (
    campaign_id TEXT   NOT NULL,
    seq         BIGINT NOT NULL,
    user_id     TEXT   NOT NULL,
    inviter_id  TEXT,            -- NULL: cut
    previous_id TEXT,            -- the living bond it took the place of
    actor       TEXT,            -- the operator's key; NULL: the user's own doing
    reason      TEXT,
    at          BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, seq)
);
CREATE INDEX bond_history_by_user ON bond_history (user_id, campaign_id, seq);

-- What a level earned of a sale, or did not for want of budget: one row a level, two levels.
CREATE TABLE rewards (
    campaign_id  TEXT   NOT NULL,
    order_number TEXT   NOT NULL, -- ours, or the shop's of an order made elsewhere
    level        BIGINT NOT NULL CHECK (level IN (1, 2)),
    id           TEXT   NOT NULL, -- made of these three
    user_id      TEXT   NOT NULL, -- whom it rewards
    buyer_id     TEXT   NOT NULL,
    state        TEXT   NOT NULL CHECK (state IN ('frozen', 'available', 'reversed', 'refused')),
    reason       TEXT,            -- why it was refused
    amount_fen   BIGINT NOT NULL CHECK (amount_fen > 0),
    reversed_fen BIGINT NOT NULL CHECK (reversed_fen >= 0),
    available_at BIGINT,          -- when the freeze is over, once the goods were handed over
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    version      BIGINT NOT NULL, -- of the definition it was granted under
    PRIMARY KEY (campaign_id, order_number, level),
    CHECK (reversed_fen <= amount_fen),
    CHECK ((state = 'refused') = (reason IS NOT NULL))
);
CREATE INDEX rewards_by_user ON rewards (user_id, created_at, id);
CREATE INDEX rewards_by_campaign ON rewards (campaign_id, created_at, id);
