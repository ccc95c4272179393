-- wrk sends each request of a file once, in order. The file holds requests as they go over the wire, each after its length in 8 digits.
-- Thread n of many reads `<file>.<n>`. The last line that is printed says whether a file came to its end.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  threads[#threads + 1] = thread
end

function init(args)
  file = assert(io.open(args[1] .. "." .. number, "rb"))
  ended = false
end

function request()
  local length = tonumber(file:read(8) or "")
  if not length then
    ended = true
    wrk.thread:stop()
    return wrk.format("GET", "/health/live")
  end
  return file:read(length)
end

function done(summary)
  local ended = false
  for _, thread in ipairs(threads) do
    ended = ended or thread:get("ended")
  end
  local wrong = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  print(string.format("REPLAY %d %d %d %d %s", summary.requests, summary.duration, summary.errors.status, wrong, tostring(ended)))
end
