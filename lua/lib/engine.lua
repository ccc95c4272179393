--- The end of every program: fence, fold the ops one after the other, commit, answer.
---
--- ARGV[1]  packed { epoch, clock offset in ms, fixed time in ms or 0 }
--- ARGV[2…] packed ops: maps with `op`, its arguments, and `key` and `body` where the caller sent an Idempotency-Key
--- Reply    { "ok", seq, now, next timer or -1, { answer… }, seq before }  |  { "fenced", reason }
--- Answer   { 1 yes | 0 no | -1 defect, word, seq, epoch of the first answer if this repeats it, else 0, packed payload… }

local KEY_LIFE = 24 * 3600 * 1000 -- an Idempotency-Key is remembered for a day

function due.key(scope)
  timers.cancel("key", scope)
  state.del("keys", scope)
end

--- The answer to an op with an Idempotency-Key that was seen before, or nil.
local function remembered(op)
  local row = op.key and state.get("keys", op.key)
  if not row then
    return nil
  end
  if row.body ~= op.body then
    return { 0, "idempotency_key_reused", 0, 0 }
  end
  return cmsgpack.unpack(row.answer)
end

local function decide(op, now)
  local done, answer = pcall(ops[op.op], op, now)
  if not done then
    answer = { -1, tostring(answer), 0, 0 }
  end
  if answer[1] ~= 1 then
    state.rollback(0)
    log.rollback(0)
  end
  return answer
end

--- Runs one op at the head of the sequence; answers its answer and the new head.
local function run(op, seq, now, epoch)
  local answer = remembered(op)
  if answer then
    if answer[3] == 0 then
      answer[3] = seq
    end
    return answer, seq
  end
  answer = decide(op, now)
  local changes = state.savepoint() > 0 or (op.key and answer[1] >= 0)
  if changes then
    seq = seq + 1
  end
  answer[3] = seq
  if op.key and answer[1] >= 0 then
    answer[4] = epoch
    state.put("keys", op.key, { body = op.body, answer = cmsgpack.pack(answer) })
    answer[4] = 0
    timers.at("key", op.key, now + KEY_LIFE)
  end
  state.keep()
  log.keep(seq)
  return answer, seq
end

local header = cmsgpack.unpack(ARGV[1])
local meta, reason = fence.open(header[1])
if not meta then
  return { "fenced", reason }
end
local now = fence.now(meta, header[2], header[3] > 0 and header[3])

local answers, seq = {}, meta.seq
for place = 2, #ARGV do
  answers[place - 1], seq = run(cmsgpack.unpack(ARGV[place]), seq, now, meta.epoch)
end

if seq > meta.seq then
  log.commit(meta, meta.seq + 1, seq, now, rules.version())
elseif now > meta.now then
  redis.call("HSET", state.key("meta"), "now", string.format("%d", now))
end
return { "ok", seq, now, timers.next(), answers, meta.seq }
