--- Timers: one sorted set per campaign. A member is a kind and what is due at its score, `hold <order> <order> …`, for what a batch sets
--- for one moment is one member. They fire inside `tick`, like any other op.
---
--- No timer is ever moved or taken away: what is due looks first whether that still matters.

due = {} -- kind -> function(id, now)

timers = {}

local planned -- of the fold: kind -> ms -> list of ids
local broken = {} -- timer -> the error that its rule raises in this batch
local firing -- the timer whose rule is at work

--- The fold begins.
function timers.begin()
  planned, firing = {}, nil
end

--- Sets a timer.
function timers.at(kind, id, ms)
  local lists = planned[kind] or {}
  local list = lists[ms] or {}
  planned[kind], lists[ms], list[#list + 1] = lists, list, id
end

local DAY = 24 * 3600 * 1000
local CHINA = 8 * 3600 * 1000 -- ms ahead of UTC: campaign days are days in China

--- The campaign's day of a moment, counted from 1970.
function timers.day(ms)
  return math.floor((ms + CHINA) / DAY)
end

local TOGETHER = 100 -- ids in one member, and ids that one tick fires: the lane ticks again at once while more are due

local function put(kind, ids, from, ms)
  for first = from, #ids, TOGETHER do
    local last = math.min(first + TOGETHER - 1, #ids)
    state.put_raw("timers", kind .. " " .. table.concat(ids, " ", first, last), string.format("%d", ms))
  end
end

--- Writes down what the fold has set.
function timers.keep()
  for kind, lists in pairs(planned) do
    for ms, ids in pairs(lists) do
      put(kind, ids, 1, ms)
    end
  end
end

--- Whether an error came from a timer's rule. If so, that timer is put off in the next fold.
function timers.blame(trouble)
  if firing then
    broken[firing] = tostring(trouble)
  end
  return firing ~= nil
end

local PARDON = 60000 -- ms until a timer whose rule broke is tried again

local function fire(kind, id, now)
  local timer = kind .. " " .. id
  if broken[timer] then
    timers.at(kind, id, now + PARDON)
    log.emit("timer.broken", { timer = timer, error = broken[timer] })
  else
    firing = timer
    due[kind](id, now)
    firing = nil
  end
end

--- The kind of a member, and the list of its ids.
local function read(member)
  local kind, rest = string.match(member, "^(%S+) (.*)$")
  local ids = {}
  for id in string.gmatch(rest, "%S+") do
    ids[#ids + 1] = id
  end
  return kind, ids
end

--- Fires what is due. A repeat finds nothing due any more. A timer whose rule raises an error is put off and told, the others fire.
---
--- @reply ticked
--- @event timer.broken
function timers.fire(now)
  local members = redis.call("ZRANGEBYSCORE", state.key("timers"), "-inf", string.format("%d", now), "LIMIT", 0, TOGETHER)
  local left = TOGETHER
  for _, member in ipairs(members) do
    local score = left > 0 and state.raw("timers", member)
    if score then
      local kind, ids = read(member)
      local last = math.min(#ids, left)
      state.put_raw("timers", member, false)
      put(kind, ids, last + 1, tonumber(score))
      for place = 1, last do
        fire(kind, ids[place], now)
      end
      left = left - last
    end
  end
end

--- Now, or when the next timer is due; -1 when none is set.
function timers.next()
  local first = redis.call("ZRANGE", state.key("timers"), 0, 0, "WITHSCORES")
  return first[2] and tonumber(first[2]) or -1
end
