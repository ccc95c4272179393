-- Units that an open room keeps for its free seats.
ALTER TABLE rooms ADD COLUMN units_kept BIGINT NOT NULL DEFAULT 0 CHECK (units_kept >= 0);
