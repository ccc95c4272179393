--- Load, fold, commit: rows are read through and kept as packed strings, changes are kept beside them, and nothing is written to Redis
--- before the last decision of the batch is made. An op that breaks is left out, and the others are folded again over the rows as they
--- were read; so there is no undo.
---
--- `get` copies a row out and `put` replaces it; a row of counters is open as long as the fold, and is changed in its place.

local tables = {} -- names, in the order of KEYS
local keys = {} -- table -> Redis key
local loaded = {} -- table -> field -> packed value before the batch, false when there is none
local views = {} -- table -> packed row -> the row to look at
local changed -- table -> field -> packed value now, false when it was deleted
local counters -- table -> field -> row of counters

local writes = 0 -- changes so far

state = {}

for place, key in ipairs(KEYS) do
  local name = string.match(key, ":(%w+)$")
  tables[place], keys[name], loaded[name], views[name] = name, key, {}, {}
end

--- The fold begins.
function state.begin()
  changed, counters = {}, {}
  for _, name in ipairs(tables) do
    changed[name], counters[name] = {}, {}
  end
end

state.begin()

--- How many changes there were so far: whether an op changes something is seen by this.
function state.writes()
  return writes
end

--- The Redis key of a table.
function state.key(name)
  return keys[name]
end

local CHUNK = 2000 -- values a call: `unpack` fails near 8,000

--- Brings in fields of a hash, those that are there and those that are not; nothing where the program has no such table. Many in one
--- call are a third as dear as one by one.
function state.load(name, fields)
  local values = loaded[name]
  if not values then
    return
  end
  for from = 1, #fields, CHUNK do
    local found = redis.call("HMGET", keys[name], unpack(fields, from, math.min(from + CHUNK - 1, #fields)))
    for place = 1, #found do
      values[fields[from + place - 1]] = found[place]
    end
  end
end

--- Whether a field was brought in, be it there or not.
function state.is_loaded(name, field)
  return loaded[name][field] ~= nil
end

--- The packed value of a field, or false. Sorted tables: the score as text.
function state.raw(name, field)
  local value = changed[name][field]
  if value == nil then
    value = loaded[name][field]
    if value == nil then
      value = redis.call(schema.sorted[name] and "ZSCORE" or "HGET", keys[name], field)
      loaded[name][field] = value
    end
  end
  return value
end

--- Sets the packed value of a field, known or not; false deletes it.
function state.put_raw(name, field, value)
  changed[name][field] = value
  writes = writes + 1
end

--- A fresh copy of a row with named fields, or nil. Changing it changes nothing before `put`.
function state.get(name, field)
  local packed = state.raw(name, field)
  return packed and schema.rows[name].read(packed) or nil
end

--- The same to look at: it is shared, so nobody may change it.
function state.view(name, field)
  local packed = state.raw(name, field)
  if not packed then
    return nil
  end
  local row = views[name][packed]
  if not row then
    row = schema.rows[name].read(packed)
    views[name][packed] = row
  end
  return row
end

--- Stores a row and gives its packed form.
function state.put(name, field, row)
  local packed = schema.rows[name].write(row)
  changed[name][field] = packed
  writes = writes + 1
  return packed
end

--- Takes a field away.
function state.del(name, field)
  if state.raw(name, field) then
    state.put_raw(name, field, false)
  end
end

--- A row of counters, to look at; all zero where there is none.
function state.counters(name, field)
  local row = counters[name][field]
  if not row then
    local packed = state.raw(name, field)
    row = packed and schema.rows[name].read(packed) or schema.rows[name].none()
    counters[name][field] = row
  end
  return row
end

--- The same to change in its place.
function state.count(name, field)
  local row = state.counters(name, field)
  row.changed = true
  writes = writes + 1
  return row
end

--- What the fold changed: a list of { table, { field, new value, field, … }, { deleted field, … } }.
function state.changes()
  local changes = {}
  for _, name in ipairs(tables) do
    local set, deleted, last = {}, {}, 0
    for field, value in pairs(changed[name]) do
      if value then
        set[last + 1], set[last + 2] = field, value
        last = last + 2
      else
        deleted[#deleted + 1] = field
      end
    end
    for field, row in pairs(counters[name]) do
      if row.changed then
        set[last + 1], set[last + 2] = field, schema.rows[name].write(row)
        last = last + 2
      end
    end
    if last > 0 or deleted[1] then
      changes[#changes + 1] = { name, set, deleted }
    end
  end
  return changes
end

local function send(command, key, args)
  for from = 1, #args, CHUNK do
    redis.call(command, key, unpack(args, from, math.min(from + CHUNK - 1, #args)))
  end
end

--- Scores come first where Redis is told of them.
local function swapped(set)
  local args = {}
  for place = 1, #set, 2 do
    args[place], args[place + 1] = set[place + 1], set[place]
  end
  return args
end

--- Writes changes to Redis. Used by the commit of a batch and by the rebuild from SQL, so both make the same state.
function state.write(changes)
  for _, change in ipairs(changes) do
    local name, set, deleted = change[1], change[2], change[3]
    if schema.sorted[name] then
      send("ZADD", keys[name], swapped(set))
      send("ZREM", keys[name], deleted)
    else
      send("HSET", keys[name], set)
      send("HDEL", keys[name], deleted)
    end
  end
end
