-- Referral and ledger: what stood at an earlier time, and indexes by which lists and checks read what they show and no more.

-- A bond that was replaced or cut is looked for in the history, by the time at which it stood.
ALTER TABLE bond_history ADD COLUMN expires_at BIGINT; -- of a bond that was made: until when; NULL: for ever
CREATE INDEX bond_history_by_time ON bond_history (user_id, campaign_id, at, seq);

-- Nobody asks for a user's bonds in all campaigns.
DROP INDEX bonds_by_user;
CREATE INDEX bonds_by_inviter_in_time ON bonds (inviter_id, bound_at, user_id, campaign_id);
CREATE INDEX rewards_by_buyer ON rewards (user_id, buyer_id, campaign_id);

-- Sales of which something is to be told, by whom they earn for.
CREATE INDEX sales_untold_of_level1 ON sales (level1_id, campaign_id) WHERE state = 'pending';
CREATE INDEX sales_untold_of_level2 ON sales (level2_id, campaign_id) WHERE state = 'pending';
-- The same by campaign; led by the state, or SQLite takes another index that begins with it.
DROP INDEX sales_due;
CREATE INDEX sales_due ON sales (state, campaign_id, next_attempt_at) WHERE state = 'pending';

-- In which campaigns a user has earned, and what moved for a withdrawal.
CREATE INDEX transfers_by_earner ON transfers (user_id, campaign_id) WHERE campaign_id IS NOT NULL;
CREATE INDEX transfers_by_withdrawal ON transfers (withdrawal_id) WHERE withdrawal_id IS NOT NULL;
