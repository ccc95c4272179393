--- Read rows at one moment, behind the same fence as decisions.
---
--- ARGV[1]  packed { epoch, clock offset in ms, fixed time in ms or 0 }
--- ARGV[2]  packed list of requests: { table, field } | { sorted table, count, table of the rows, least score }
--- Reply    { "ok", seq, now, result… }  |  { "fenced", reason }
--- Result   the packed row or ""  |  for a range: { field, packed row, field, packed row, … } lowest score first

local header = cmsgpack.unpack(ARGV[1])
local meta, reason = fence.open(header[1])
if not meta then
  return { "fenced", reason }
end

local results = {}
for place, request in ipairs(cmsgpack.unpack(ARGV[2])) do
  if request[3] then
    local rows = {}
    local fields = redis.call("ZRANGEBYSCORE", state.key(request[1]), request[4], "+inf", "LIMIT", 0, request[2])
    for _, field in ipairs(fields) do
      rows[#rows + 1] = field
      rows[#rows + 1] = state.raw(request[3], field) or ""
    end
    results[place] = rows
  else
    results[place] = state.raw(request[1], request[2]) or ""
  end
end
return { "ok", meta.seq, fence.now(meta, header[2], header[3] > 0 and header[3]), unpack(results) }
