--- The log: one entry a batch, holding the events and every changed row (redo), chained by hash to the entry before.

local FORMAT = 1

local pending = {} -- events of the op at work
local events = {} -- events of the batch so far: { seq, name, fields }

log = {}

--- Notes that something happened. It is forgotten if the op is refused.
function log.emit(name, fields)
  pending[#pending + 1] = { name, fields }
end

function log.savepoint()
  return #pending
end

function log.rollback(savepoint)
  for place = #pending, savepoint + 1, -1 do
    pending[place] = nil
  end
end

--- The op at work took place `seq`.
function log.keep(seq)
  for _, event in ipairs(pending) do
    events[#events + 1] = { seq, event[1], event[2] }
  end
  pending = {}
end

--- Writes the batch `first`..`last`: entry first, so that a stale sequence is refused by Redis before anything has changed; meta last, so
--- that a batch whose writes broke off is seen by everybody: the log then knows more than meta, and recovery makes the rows from it.
function log.commit(meta, first, last, now, version)
  local changes = state.changes()
  local body = cmsgpack.pack({ FORMAT, meta.epoch, version, first, last, now, events, changes })
  local hash = redis.sha1hex(meta.hash .. body)
  redis.call("XADD", state.key("log"), string.format("%d-0", first), "h", hash, "b", body)
  state.write(changes)
  redis.call("HSET", state.key("meta"), "seq", string.format("%d", last), "hash", hash, "now", string.format("%d", now))
end
