-- Every index is paid for with every row. Those by state had readers that manage without: a report sums up all of a campaign's orders anyway, a
-- list by state goes through the campaign's newest; and a change of state is then a change of no index.
DROP INDEX orders_by_state;
DROP INDEX rooms_by_state;
-- A shopper has few orders: sorting them is cheaper than keeping time and id in an index that every new order touches at a random place.
DROP INDEX orders_by_user;
CREATE INDEX orders_by_user ON orders (user_id);
