--- The usual way to take a seat: one script a request, a key per object, a handful of commands. `make bench` compares with it.
---
--- KEYS  room, order, user, device, stock, status, timers, log, meta
--- ARGV  user, order id, device, quantity, now in ms
--- Reply { word, room fields…, members… }
local now, quantity = tonumber(ARGV[5]), tonumber(ARGV[4])
local room = redis.call("HMGET", KEYS[1], "state", "sku", "size", "price", "taken", "expires_at", "leader")
if not room[1] then
  return { "not_found" }
end
local members = KEYS[1] .. ":members"
if redis.call("HEXISTS", members, ARGV[1]) == 1 then
  return { "already_in_room", room, redis.call("HGETALL", members) }
elseif room[1] ~= "open" then
  return { "room_closed" }
elseif now >= tonumber(room[6]) then
  return { "room_expired" }
elseif tonumber(room[5]) >= tonumber(room[3]) then
  return { "room_full" }
elseif redis.call("GET", KEYS[6]) ~= "live" then
  return { "campaign_not_live" }
elseif redis.call("SISMEMBER", KEYS[4], ARGV[1]) == 0 and redis.call("SCARD", KEYS[4]) >= 2 then
  return { "device_limit_reached" }
end
local user = redis.call("HMGET", KEYS[3], "orders", "joined", "unpaid")
if quantity > 1 or tonumber(user[1] or 0) >= 2 then
  return { "order_limit_reached" }
elseif tonumber(user[2] or 0) >= 2 then
  return { "room_limit_reached" }
elseif tonumber(user[3] or 0) >= 1 then
  return { "unpaid_limit_reached" }
elseif tonumber(redis.call("HGET", KEYS[5], "left") or 0) < quantity then
  return { "sold_out" }
end
redis.call("HINCRBY", KEYS[5], "left", -quantity)
redis.call("HINCRBY", KEYS[5], "held", quantity)
redis.call("HINCRBY", KEYS[1], "taken", 1)
redis.call("HSET", members, ARGV[1], ARGV[2])
redis.call("HSET", KEYS[2], "state", "held", "user", ARGV[1], "device", ARGV[3], "quantity", quantity, "unit", room[4],
  "sku", room[2], "created_at", now, "pay_by", now + 900000)
redis.call("HINCRBY", KEYS[3], "orders", 1)
redis.call("HINCRBY", KEYS[3], "joined", 1)
redis.call("HINCRBY", KEYS[3], "unpaid", 1)
redis.call("SADD", KEYS[4], ARGV[1])
redis.call("ZADD", KEYS[7], now + 900000, ARGV[2])
local seq = redis.call("HINCRBY", KEYS[9], "seq", 1)
redis.call("XADD", KEYS[8], seq .. "-0", "event", "order.held", "order", ARGV[2], "user", ARGV[1], "room", KEYS[1], "at", now)
return { "joined", room, redis.call("HGETALL", members), seq }
