--- Read rows at one moment, behind the same fence as decisions.
---
--- ARGV[1]  packed { epoch, clock offset in ms, fixed time in ms or 0 }
--- ARGV[2…] packed lists of requests: { table, field } | { sorted table, count, table of the rows, least score }
--- Reply    { "ok", seq, now, result… }  |  { "fenced", reason }
--- Result   the packed row, or "" where there is none  |  for a range: { field, packed row, field, packed row, … } lowest score first

local header = cmsgpack.unpack(ARGV[1])
local meta, reason = fence.open(header[1])
if not meta then
  return { "fenced", reason }
end

--- All requests, and the rows that they name.
local function load()
  local requests, fields, seen = {}, {}, {}
  for place = 2, #ARGV do
    for _, request in ipairs(cmsgpack.unpack(ARGV[place])) do
      requests[#requests + 1] = request
      local name, field = request[1], request[2]
      if not request[3] and not schema.sorted[name] then
        fields[name], seen[name] = fields[name] or {}, seen[name] or {}
        if not seen[name][field] then
          seen[name][field] = true
          table.insert(fields[name], field)
        end
      end
    end
  end
  for name, list in pairs(fields) do
    state.load(name, list)
  end
  return requests
end

local function row(request)
  return state.raw(request[1], request[2]) or ""
end

local function first(request)
  local rows = {}
  local fields = redis.call("ZRANGEBYSCORE", state.key(request[1]), request[4], "+inf", "LIMIT", 0, request[2])
  for _, field in ipairs(fields) do
    rows[#rows + 1] = field
    rows[#rows + 1] = state.raw(request[3], field) or ""
  end
  return rows
end

local reply = { "ok", meta.seq, fence.now(meta, header[2], header[3] > 0 and header[3]) }
for place, request in ipairs(load()) do
  -- A table that the program does not have holds nothing: an id tells a campaign, not its kind.
  local nothing = request[3] and {} or ""
  reply[place + 3] = not state.key(request[1]) and nothing or (request[3] and first or row)(request)
end
return reply
