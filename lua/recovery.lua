--- Recovery's steps in Redis. Every step after the claim is refused unless the claim still stands, so a process that froze in the
--- middle and wakes after another has finished can break nothing.
---
--- ARGV[1]  step: claim | wipe | write | serve
--- ARGV[2]  the epoch that is to be served when recovery is done
--- ARGV[3…] write: table, field, value or "" of each change, as they are · serve: packed { seq, hash, now }
--- Reply    claim: { "claimed", seq or -1 when there is nothing, hash, 1 if an earlier recovery did not end }  others: { "done" }
---          |  { "lost", epoch } one that is ahead

local step, claim = ARGV[1], tonumber(ARGV[2])
local meta = redis.call("HMGET", state.key("meta"), "epoch", "fenced", "seq", "hash")

local ahead = math.max(tonumber(meta[1] or 0), tonumber(meta[2] or 0))
if step == "claim" then
  if claim <= ahead then
    return { "lost", ahead }
  end
  -- Twice, so that Redis logs it as a transaction: its end closes one whose tail a power cut has torn (see `Redis::renew_log`).
  redis.call("HSET", state.key("meta"), "fenced", string.format("%d", claim))
  redis.call("HSET", state.key("meta"), "fenced", string.format("%d", claim))
  return { "claimed", meta[3] and tonumber(meta[3]) or -1, meta[4] or "", meta[2] and 1 or 0 }
end

if tonumber(meta[2] or 0) ~= claim then
  return { "lost", ahead }
elseif step == "wipe" then
  for _, key in ipairs(KEYS) do
    if key ~= state.key("meta") then
      redis.call("DEL", key)
    end
  end
  redis.call("HDEL", state.key("meta"), "seq", "hash", "now")
elseif step == "write" then
  for place = 3, #ARGV, 3 do
    state.put_raw(ARGV[place], ARGV[place + 1], ARGV[place + 2] ~= "" and ARGV[place + 2])
  end
  state.write(state.changes())
elseif step == "serve" then
  local at = cmsgpack.unpack(ARGV[3])
  local now = math.max(at[3], tonumber(redis.call("HGET", state.key("meta"), "now") or 0))
  redis.call(
    "HSET", state.key("meta"), "epoch", string.format("%d", claim), "replid", fence.replication_id(),
    "seq", string.format("%d", at[1]), "hash", at[2], "now", string.format("%d", now)
  )
  redis.call("HDEL", state.key("meta"), "fenced")
end
return { "done" }
