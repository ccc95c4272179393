--- The fence: nothing is decided on state that may be older than what was acknowledged.
---
--- Redis forgets its replication id at restart and failover, so another id than the one recovery wrote down means that the data may
--- have been rolled back; another epoch means that this caller missed a recovery. The answer is a reason, and the caller recovers.

fence = {}

--- This Redis' replication id.
function fence.replication_id()
  local info = redis.call("INFO", "replication")
  local _, label_end = string.find(info, "master_replid:", 1, true)
  return string.sub(info, label_end + 1, label_end + 40)
end

--- The campaign's meta, or nil and the reason why it must not be used: missing, fenced, epoch, restarted.
function fence.open(epoch)
  local fields = redis.call("HMGET", state.key("meta"), "epoch", "replid", "seq", "hash", "now", "fenced")
  if not fields[1] then
    return nil, "missing"
  elseif fields[6] then
    return nil, "fenced"
  elseif tonumber(fields[1]) ~= epoch then
    return nil, "epoch"
  elseif fields[2] ~= fence.replication_id() then
    return nil, "restarted"
  end
  return { epoch = epoch, seq = tonumber(fields[3]), hash = fields[4], now = tonumber(fields[5]) }
end

--- Redis' clock in milliseconds plus the sandbox offset, never earlier than it was. `fixed` (tests only) stands in for the clock.
function fence.now(meta, offset, fixed)
  local clock = fixed
  if not clock then
    local time = redis.call("TIME")
    clock = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + offset
  end
  return math.max(meta.now, clock)
end
