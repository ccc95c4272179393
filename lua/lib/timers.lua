--- Timers: one sorted set per campaign, `<kind>:<id>` by the time it is due. They fire inside `tick`, like any other op.

due = {} -- kind -> function(id, now); must take its own timer away or move it

timers = {}

--- Sets or moves a timer.
function timers.at(kind, id, ms)
  state.put_raw("timers", kind .. ":" .. id, string.format("%d", ms))
end

--- Takes a timer away.
function timers.cancel(kind, id)
  state.del("timers", kind .. ":" .. id)
end

local BATCH = 100 -- timers a tick: the lane ticks again at once while more are due
local PARDON = 60000 -- ms until a timer whose rule broke is tried again

--- Fires what is due. A repeat finds nothing due any more. A timer whose rule raises an error is put off and told, the others fire.
---
--- @reply ticked
--- @event timer.broken
function timers.fire(now)
  local members = redis.call("ZRANGEBYSCORE", state.key("timers"), "-inf", string.format("%d", now), "LIMIT", 0, BATCH)
  for _, member in ipairs(members) do
    local score = state.raw("timers", member)
    if score and tonumber(score) <= now then
      local state_at, log_at = state.savepoint(), log.savepoint()
      local kind, id = string.match(member, "^(%w+):(.+)$")
      local done, trouble = pcall(due[kind], id, now)
      if not done then
        state.rollback(state_at)
        log.rollback(log_at)
        state.put_raw("timers", member, string.format("%d", now + PARDON))
        log.emit("timer.broken", { timer = member, error = tostring(trouble) })
      end
    end
  end
end

--- Now, or when the next timer is due; -1 when none is set.
function timers.next()
  local first = redis.call("ZRANGE", state.key("timers"), 0, 0, "WITHSCORES")
  return first[2] and tonumber(first[2]) or -1
end
