--- Read rows at one moment, behind the same fence as decisions.
---
--- ARGV[1]  packed { epoch, clock offset in ms, fixed time in ms or 0 }
--- ARGV[2…] packed lists of requests: { table, field } | { sorted table, count, table of the rows, least score }
--- Reply    { "ok", seq, now, result… }  |  { "fenced", reason }
--- Result   the packed row or ""  |  for a range: { field, packed row, field, packed row, … } lowest score first

local header = cmsgpack.unpack(ARGV[1])
local meta, reason = fence.open(header[1])
if not meta then
  return { "fenced", reason }
end

--- All requests, and the rows that they name.
local function load()
  local requests, fields = {}, {}
  for place = 2, #ARGV do
    for _, request in ipairs(cmsgpack.unpack(ARGV[place])) do
      requests[#requests + 1] = request
      local name = request[1]
      if not request[3] and not schema.sorted[name] then
        fields[name] = fields[name] or {}
        table.insert(fields[name], request[2])
      end
    end
  end
  for name, list in pairs(fields) do
    state.load(name, list)
  end
  return requests
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
  reply[place + 3] = request[3] and first(request) or state.raw(request[1], request[2]) or ""
end
return reply
