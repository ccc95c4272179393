--- The budgets of rewards, as stock of fen: what was granted and has not gone back is never more than `budget`, and what one day
--- (UTC+8) grants never more than `daily_budget`. Absent, they bound nothing; both are counted all the same.

purse = {}

local ROW = "rewards"

--- Whether a single fen is left of the whole budget.
function purse.has_any()
  local most = rules.get().budget
  return not most or state.counters("spent", ROW).total < most
end

local function today(row, now)
  return row.day == timers.day(now) and row.today or 0
end

--- Why so many fen cannot be granted now, as the state of a reward, or nil.
function purse.lacks(fen, now)
  local definition, row = rules.get(), state.counters("spent", ROW)
  local lack
  if definition.budget and row.total + fen > definition.budget then
    lack = "over_budget"
  elseif definition.daily_budget and today(row, now) + fen > definition.daily_budget then
    lack = "over_daily_budget"
  end
  return lack
end

--- Fen are granted. Ask `lacks` first.
function purse.take(fen, now)
  local row = state.count("spent", ROW)
  row.today = today(row, now) + fen
  row.total, row.day = row.total + fen, timers.day(now)
end

--- Granted fen go back: to the whole budget, never to the day's, or a day of refunds would pay out twice.
function purse.give_back(fen)
  local row = state.count("spent", ROW)
  row.total = row.total - fen
  assert(row.total >= 0, "purse: more went back than was granted")
end
