--- Load, fold, commit: rows are read through and cached as immutable strings, changes go through an undo journal, and nothing is
--- written to Redis before the last decision of the batch is made.

local keys = {} -- table name -> Redis key
local cache = {} -- table -> field -> present value: a string, or false when there is none
local origin = {} -- table -> field -> value before this batch
local touched = {} -- list of { table, field } in the order of their first change
local undo = {} -- list of { table, field, value before } of the op at work

state = {}

for _, key in ipairs(KEYS) do
  local name = string.match(key, ":(%w+)$")
  keys[name], cache[name], origin[name] = key, {}, {}
end

--- The Redis key of a table.
function state.key(name)
  return keys[name]
end

--- The packed value of a field, or false. Sorted tables: the score as text.
function state.raw(name, field)
  local rows = cache[name]
  local value = rows[field]
  if value == nil then
    value = redis.call(schema.sorted[name] and "ZSCORE" or "HGET", keys[name], field) or false
    rows[field] = value
  end
  return value
end

--- Sets the packed value of a field; false deletes it.
function state.put_raw(name, field, value)
  local before = state.raw(name, field)
  undo[#undo + 1] = { name, field, before }
  if origin[name][field] == nil then
    origin[name][field] = before
    touched[#touched + 1] = { name, field }
  end
  cache[name][field] = value
end

--- A fresh copy of a row with named fields, or nil. Changing it changes nothing before `put`.
function state.get(name, field)
  local packed = state.raw(name, field)
  if not packed then
    return nil
  end
  local values, row = cmsgpack.unpack(packed), {}
  for place, label in ipairs(schema.fields[name]) do
    row[label] = values[place]
  end
  return row
end

--- Stores a row and gives its packed form.
function state.put(name, field, row)
  local values = {}
  for place, label in ipairs(schema.fields[name]) do
    values[place] = row[label]
  end
  local packed = cmsgpack.pack(values)
  state.put_raw(name, field, packed)
  return packed
end

--- Takes a field away.
function state.del(name, field)
  if state.raw(name, field) then
    state.put_raw(name, field, false)
  end
end

--- A place in the journal to roll back to.
function state.savepoint()
  return #undo
end

--- Undoes every change made after `savepoint`.
function state.rollback(savepoint)
  for place = #undo, savepoint + 1, -1 do
    local change = undo[place]
    cache[change[1]][change[2]] = change[3]
    undo[place] = nil
  end
end

--- Forgets the journal: what the op at work has changed, stays. Answers whether it changed anything.
function state.keep()
  local changed = #undo > 0
  undo = {}
  return changed
end

--- What this batch changed: a list of { table, field, new value or "" for deleted }.
function state.changes()
  local changes = {}
  for _, place in ipairs(touched) do
    local name, field = place[1], place[2]
    local value = cache[name][field]
    if value ~= origin[name][field] then
      changes[#changes + 1] = { name, field, value or "" }
    end
  end
  return changes
end

local CHUNK = 2000 -- values a call: `unpack` fails near 8,000

--- Writes changes to Redis. Used by the commit of a batch and by the rebuild from SQL, so both make the same state.
function state.write(changes)
  local calls = {} -- command and key -> its arguments
  for _, change in ipairs(changes) do
    local name, field, value = change[1], change[2], change[3]
    local sorted = schema.sorted[name]
    local command = value == "" and (sorted and "ZREM" or "HDEL") or (sorted and "ZADD" or "HSET")
    local call = command .. " " .. name
    local args = calls[call]
    if not args then
      args = { command = command, key = keys[name] }
      calls[call] = args
    end
    if value == "" then
      args[#args + 1] = field
    elseif sorted then
      args[#args + 1], args[#args + 2] = value, field
    else
      args[#args + 1], args[#args + 2] = field, value
    end
  end
  for _, args in pairs(calls) do
    for from = 1, #args, CHUNK do
      redis.call(args.command, args.key, unpack(args, from, math.min(from + CHUNK - 1, #args)))
    end
  end
end
