--- Rewards of sales: what each of the two levels earns of one sale, and what becomes of it.
---
---     none                     the level earns nothing
---     over_budget, …           it would have, but did not fit when the sale was reported: for good
---     frozen ── freeze days after fulfilment ──► available
---
--- What goes back is counted beside the state, up to all of it, before and after.

local LEVELS = { "level1", "level2" }

--- Grants a level its reward, whole or not at all.
local function grant(id, number, level, now)
  if level.fen == 0 or level.user == "" then
    level.state, level.user, level.fen = "none", "", 0
    return
  end
  local lack = purse.lacks(level.fen, now)
  local told = { sale = id, level = number, user = level.user, fen = level.fen }
  if lack then
    level.state, told.reason = lack, lack
    log.emit("referral.reward_refused", told)
  else
    level.state = "frozen"
    purse.take(level.fen, now)
    log.emit("referral.rewarded", told)
  end
end

--- A sale that is reported for the first time, with its rewards granted.
local function fresh(op, now)
  local sale = {
    level1 = { user = op.level1, fen = op.fen1, back = 0 }, level2 = { user = op.level2, fen = op.fen2, back = 0 },
    reported_at = now, fulfilled_at = 0, freeze = op.freeze, version = rules.version(), buyer = op.buyer,
  }
  for number, name in ipairs(LEVELS) do
    grant(op.sale, number, sale[name], now)
  end
  return sale
end

local function granted(level)
  return level.state == "frozen" or level.state == "available"
end

--- Takes back what has to go back in all and is not back yet. True if there was something.
local function reverse(id, number, level, back)
  local more = granted(level) and math.min(back, level.fen) - level.back or 0
  if more <= 0 then
    return false
  end
  level.back = level.back + more
  purse.give_back(more)
  log.emit("referral.reward_reversed", { sale = id, level = number, user = level.user, fen = more, was = level.state })
  return true
end

--- What is frozen becomes available.
local function release(id, sale)
  for number, name in ipairs(LEVELS) do
    local level = sale[name]
    if level.state == "frozen" then
      level.state = "available"
      if level.fen > level.back then
        log.emit("referral.reward_available", { sale = id, level = number, user = level.user, fen = level.fen - level.back })
      end
    end
  end
end

--- The goods were handed over: the freeze begins, or is over already.
local function fulfil(id, sale, at, now)
  sale.fulfilled_at = at
  if now >= at + sale.freeze then
    release(id, sale)
  else
    timers.at("sale", id, at + sale.freeze)
  end
end

--- Tell how a sale stands. The first report grants, level 1 first; those after it only lead on: more that goes back, fulfilment. So a
--- repeat finds nothing to do, and answers what stands. An ended or paused campaign goes on with what was attributed before.
---
--- @arg   sale (its number, without blanks) buyer level1 level2 (whom each level rewards, "" for nobody) fen1 fen2 (with what) back1 back2
---        (what of it has to be back by now, in all) freeze (ms) fulfilled_at (Unix ms, 0 before)
--- @reply reported sale
--- @refuse campaign_state (never published)
--- @event referral.rewarded | referral.reward_refused, referral.reward_reversed, referral.reward_available
function ops.report_sale(op, now)
  if not rules.get() then
    return refuse("campaign_state")
  end
  local sale = state.get("sales", op.sale)
  local changed = not sale
  sale = sale or fresh(op, now)
  changed = reverse(op.sale, 1, sale.level1, op.back1) or changed
  changed = reverse(op.sale, 2, sale.level2, op.back2) or changed
  if sale.fulfilled_at == 0 and op.fulfilled_at > 0 then
    fulfil(op.sale, sale, op.fulfilled_at, now)
    changed = true
  end
  return reply("reported", changed and state.put("sales", op.sale, sale) or state.raw("sales", op.sale))
end

--- The freeze of a sale is over.
function due.sale(id, now)
  local sale = state.get("sales", id)
  if now >= sale.fulfilled_at + sale.freeze then
    release(id, sale)
    state.put("sales", id, sale)
  end
end
