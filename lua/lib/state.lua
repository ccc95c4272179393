--- Load, fold, commit: rows are read through and kept as packed strings, changes are kept beside them, and nothing is written to Redis
--- before the last decision of the batch is made. An op that breaks is left out, and the others are folded again over the rows as they
--- were read; so there is no undo.
---
--- `get` copies a row out and `put` replaces it; a row of counters is open as long as the fold, and is changed in its place.
---
--- Rows of some tables (`schema.shelved`) are so small that a field of their own would take four times as much: those whose names end
--- alike lie together in one field, a shelf, whose name is made of that end. Only reading and writing Redis knows of shelves; log, SQL and
--- rules see rows. A shelf is for each row 128 + the length of its name, its name, the length of its value, its value, where all but the
--- first is below 128: so a row is found by one search.

local tables = {} -- names, in the order of KEYS
local keys = {} -- table -> Redis key
local loaded = {} -- table -> field -> packed value before the batch, false when there is none
local shelves = {} -- table with shelves -> name of a shelf -> what lies on it, false when nothing does
local views = {} -- table -> packed row -> the row to look at
local changed -- table -> field -> packed value now, false when it was deleted
local counters -- table -> field -> row of counters

local writes = 0 -- changes so far

state = {}

for place, key in ipairs(KEYS) do
  local name = string.match(key, ":(%w+)$")
  tables[place], keys[name], loaded[name], views[name], shelves[name] = name, key, {}, {}, schema.shelved[name] and {}
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

--- Fields of a hash, false for those that are not there, into `values`.
local function fetch(name, fields, values)
  for from = 1, #fields, CHUNK do
    local found = redis.call("HMGET", keys[name], unpack(fields, from, math.min(from + CHUNK - 1, #fields)))
    for place = 1, #found do
      values[fields[from + place - 1]] = found[place]
    end
  end
end

-- Characters by their number, each made when it is first needed.
local bytes = setmetatable({}, {
  __index = function(known, number)
    known[number] = string.char(number)
    return known[number]
  end,
})

local shelf_names = {} -- field -> its shelf

--- The shelf of a row, by the end of its name: 60,000 of them for names of letters and digits.
local function shelf_of(field)
  local shelf = shelf_names[field]
  if not shelf then
    shelf = string.sub(field, -2) .. bytes[97 + (string.byte(field, -3) or 0) % 16]
    shelf_names[field] = shelf
  end
  return shelf
end

--- Brings in the shelves of these rows, as far as they are not here.
local function fetch_shelves(name, fields)
  local here, missing, last = shelves[name], {}, 0
  for place = 1, #fields do
    local shelf = shelf_of(fields[place])
    if here[shelf] == nil then
      here[shelf], last = false, last + 1
      missing[last] = shelf
    end
  end
  fetch(name, missing, here)
end

--- Where a row begins on a shelf, and where its name ends; nil when it does not lie there.
local function find(shelf, field)
  -- A look for the bare name tells most rows that they do not.
  if shelf and string.find(shelf, field, 1, true) then
    return string.find(shelf, bytes[128 + #field] .. field, 1, true)
  end
end

--- A row's value on a shelf, or false.
local function taken(shelf, field)
  local _, named = find(shelf, field)
  return named and string.sub(shelf, named + 2, named + 1 + string.byte(shelf, named + 1)) or false
end

--- A shelf without a row that lies there.
local function without(shelf, field)
  local from, named = find(shelf, field)
  return string.sub(shelf, 1, from - 1) .. string.sub(shelf, named + 2 + string.byte(shelf, named + 1))
end

--- Brings in fields of a hash, those that are there and those that are not; nothing where the program has no such table. Many in one
--- call are a third as dear as one by one.
function state.load(name, fields)
  local values, here = loaded[name], shelves[name]
  if here then
    fetch_shelves(name, fields)
    for place = 1, #fields do
      local field = fields[place]
      values[field] = taken(here[shelf_of(field)], field)
    end
  elseif values then
    fetch(name, fields, values)
  end
end

--- The packed value of a field, or false. Sorted tables: the score as text.
function state.raw(name, field)
  local value = changed[name][field]
  if value == nil then
    value = loaded[name][field]
    if value == nil and shelves[name] then
      state.load(name, { field })
      value = loaded[name][field]
    elseif value == nil then
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

--- The same changes, of shelves instead of rows.
local function shelved(name, set, deleted)
  local here, rows, touched = shelves[name], loaded[name], {}
  local full, empty = {}, {}
  local unknown = {}
  for place = 1, #set, 2 do
    unknown[#unknown + 1] = rows[set[place]] == nil and set[place] or nil
  end
  for place = 1, #deleted do
    unknown[#unknown + 1] = rows[deleted[place]] == nil and deleted[place] or nil
  end
  state.load(name, unknown)
  local function put(field, value)
    local shelf = shelf_of(field)
    local rest = rows[field] and without(here[shelf], field) or here[shelf] or ""
    here[shelf] = value and rest .. bytes[128 + #field] .. field .. bytes[#value] .. value or rest
    touched[shelf] = true
  end
  for place = 1, #set, 2 do
    put(set[place], set[place + 1])
  end
  for place = 1, #deleted do
    put(deleted[place], false)
  end
  for shelf in pairs(touched) do
    if here[shelf] == "" then
      empty[#empty + 1] = shelf
    else
      full[#full + 1], full[#full + 2] = shelf, here[shelf]
    end
  end
  return full, empty
end

--- Writes changes to Redis. Used by the commit of a batch and by the rebuild from SQL, so both make the same state.
function state.write(changes)
  for _, change in ipairs(changes) do
    local name, set, deleted = change[1], change[2], change[3]
    if shelves[name] then
      set, deleted = shelved(name, set, deleted)
    end
    if schema.sorted[name] then
      send("ZADD", keys[name], swapped(set))
      send("ZREM", keys[name], deleted)
    else
      send("HSET", keys[name], set)
      send("HDEL", keys[name], deleted)
    end
  end
end
