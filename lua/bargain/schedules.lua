--- The schedule of a chain, as it was fixed when the chain started: one text of its own that is never written again, so that the chain's
--- row stays small. First the curve's number (even, front_loaded, random), then the seed in hex ("" where there is no chance), then the
--- fen of each step.

schedules = {}

local HEAD = ">BBc0"
local STEP = ">I5"
local STEP_BYTES = 5

--- Keeps the schedule of a new chain. Its steps must lead from the one price to the other.
function schedules.keep(id, op, item, count)
  local steps, way = { struct.pack(HEAD, op.curve, #op.seed, op.seed) }, 0
  for place, fen in ipairs(op.steps) do
    assert(fen >= 1, "schedules: a step that cuts nothing")
    steps[place + 1], way = struct.pack(STEP, fen), way + fen
  end
  assert(#op.steps == count and way == item.start - item.floor, "schedules: the steps do not lead to the floor price")
  state.put_raw("schedules", id, table.concat(steps))
end

--- The fen of one step, from 1.
function schedules.step(id, place)
  local text = state.raw("schedules", id)
  local _, _, first = struct.unpack(HEAD, text)
  return (struct.unpack(STEP, text, first + (place - 1) * STEP_BYTES))
end
