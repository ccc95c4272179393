--- The log: one entry a batch, holding the events and every changed row (redo), chained by hash to the entry before.

local FORMAT = 1

local events -- of the fold: { sequence of its op, name, fields }

log = {
  seq = 0, -- the sequence of the op at work, if it changes anything
}

--- The fold begins.
function log.begin()
  events = {}
end

--- Notes that something happened.
function log.emit(name, fields)
  events[#events + 1] = { log.seq, name, fields }
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
