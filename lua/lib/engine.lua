--- The end of every program: fence, load, fold the ops one after the other, commit, answer.
---
--- ARGV[1]  packed { epoch, clock offset in ms, fixed time in ms or 0 }
--- ARGV[2…] packed ops: maps with `op`, its arguments, and `key` and `body` where the caller sent an Idempotency-Key
--- Reply    { "ok", seq, now, next timer or -1, seq before, answer… }  |  { "fenced", reason }
--- Answer   six values: 1 yes | 0 no | -1 defect, word, seq, epoch of the first answer if this repeats it, else 0, two packed rows or ""

local header = cmsgpack.unpack(ARGV[1])
local meta, reason = fence.open(header[1])
if not meta then
  return { "fenced", reason }
end
local now = fence.now(meta, header[2], header[3] > 0 and header[3])

--- The ops, and the rows that they name.
local function load()
  local batch = {}
  for place = 2, #ARGV do
    batch[place - 1] = cmsgpack.unpack(ARGV[place])
  end
  for argument, names in pairs(schema.named) do
    local fields, count = {}, 0
    for place = 1, #batch do
      local field = batch[place][argument]
      if field then
        count = count + 1
        fields[count] = field
      end
    end
    for _, name in ipairs(names) do
      state.load(name, fields)
    end
  end
  return batch
end

local seq -- the head of the sequence
local broken = {} -- place of an op -> the error that it raises
local at_work -- place of the op that is being decided

--- Decides an op at the head of the sequence. Of a no nothing remains.
local function decide(op)
  local writes = state.writes()
  log.seq = seq + 1
  local yes, word, first, second = ops[op.op](op, now)
  local changed = state.writes() > writes
  assert(yes == 1 or not changed, "refused after a change")
  if changed or op.key then
    seq = seq + 1
  end
  return yes, word, seq, 0, first or "", second or ""
end

local KEY_LIFE = 24 * 3600 * 1000 -- an Idempotency-Key is remembered for a day

--- Remembers what an op with an Idempotency-Key was answered.
local function remember(op, yes, word, at, _, first, second)
  state.put("keys", op.key, { body = op.body, answer = cmsgpack.pack(yes, word, at, meta.epoch, first, second) })
  timers.at("key", op.key, now + KEY_LIFE)
  return yes, word, at, 0, first, second
end

function due.key(scope)
  state.del("keys", scope)
end

--- The answer to an op; to one with an Idempotency-Key that was seen before, the same.
local function answer(op)
  if broken[at_work] then
    return -1, broken[at_work], seq, 0, "", ""
  elseif not op.key then
    return decide(op)
  end
  local seen = state.view("keys", op.key)
  if not seen then
    return remember(op, decide(op))
  elseif seen.body ~= op.body then
    return 0, "idempotency_key_reused", seq, 0, "", ""
  end
  return cmsgpack.unpack(seen.answer)
end

--- Decides all ops; gives the reply.
local function fold(batch)
  state.begin()
  log.begin()
  timers.begin()
  rules.begin()
  seq = meta.seq
  local reply, last = { "ok", seq, now, -1, meta.seq }, 5
  for place = 1, #batch do
    at_work = place
    reply[last + 1], reply[last + 2], reply[last + 3], reply[last + 4], reply[last + 5], reply[last + 6] = answer(batch[place])
    last = last + 6
  end
  timers.keep()
  return reply
end

local batch = load()
local folded, result
repeat
  folded, result = pcall(fold, batch)
  if not folded and not timers.blame(result) then
    assert(not broken[at_work], result)
    broken[at_work] = tostring(result)
  end
until folded

if seq > meta.seq then
  log.commit(meta, meta.seq + 1, seq, now, rules.version())
elseif now > meta.now then
  redis.call("HSET", state.key("meta"), "now", string.format("%d", now))
end
result[2], result[4] = seq, timers.next()
return result
