-- A room's row says who sits in it, as the log does: to list rooms no order need be read, and a new order writes one index less (a room's orders
-- lie at random places of it).
ALTER TABLE rooms ADD COLUMN members TEXT NOT NULL DEFAULT '[]'; -- JSON, a list of [user_id, paid]: who leads, then in the order of joining
UPDATE rooms SET members = '[' || COALESCE((
    SELECT string_agg('["' || user_id || '",' || CASE WHEN state IN ('held', 'closing') THEN 'false' ELSE 'true' END || ']', ','
                      ORDER BY CASE WHEN id = rooms.leader_order_id THEN 0 ELSE 1 END, created_at, id)
    FROM orders WHERE room_id = rooms.id AND CASE rooms.state
        WHEN 'open' THEN state IN ('held', 'closing', 'paid')
        WHEN 'failed' THEN reason = 'room_failed'
        ELSE state <> 'released' AND (reason IS NULL OR reason NOT IN ('late_payment', 'newcomers_only')) END), '') || ']';
DROP INDEX orders_by_room;
ALTER TABLE rooms DROP COLUMN leader_order_id;
ALTER TABLE rooms DROP COLUMN leader_user_id;
