-- A withdrawal knows the Idempotency-Key it was asked for with: the answer is written after the money is held, and a crash between both must not
-- hold it twice. Taken off when the key has run out.
ALTER TABLE withdrawals ADD COLUMN asked_as TEXT;
CREATE UNIQUE INDEX withdrawals_by_key ON withdrawals (asked_as);

-- Returned because its user turned it down or let it lapse: it counts in the day's.
ALTER TABLE withdrawals ADD COLUMN declined BOOLEAN NOT NULL DEFAULT FALSE;
-- The sandbox's: why its user did not take it.
ALTER TABLE sandbox_payouts ADD COLUMN declined TEXT;

-- Failing tries in a row. `attempts` also counts those that were told to ask again later.
ALTER TABLE withdrawals ADD COLUMN failures BIGINT NOT NULL DEFAULT 0 CHECK (failures >= 0);
ALTER TABLE refunds ADD COLUMN failures BIGINT NOT NULL DEFAULT 0 CHECK (failures >= 0);

CREATE INDEX withdrawals_by_state ON withdrawals (state, created_at, id);
