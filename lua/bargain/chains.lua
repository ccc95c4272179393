--- Bargain chains: cuts, the floor, and how a chain ends.
---
---     open ── last step taken ──► floor_reached ──┬── its order is paid ──► bought
---       ├── its order is paid (on the way) ───────┘
---       └── deadline over, no order undecided ──► expired   (from floor_reached: `buy_by` over)

chains = {}

--- Until when the owner may buy, and helpers may cut while the chain is open.
local function deadline(chain)
  return chain.state == "floor_reached" and chain.buy_by or chain.expires_at
end

local function stands(chain)
  return chain.state == "open" or chain.state == "floor_reached"
end

--- Whether a unit is kept for the chain: its order, while there is one, holds it.
local function keeps(chain)
  return chain.reserve == 1 and stands(chain) and chain.order == ""
end

--- Why the owner may buy no more, or nil.
function chains.over(chain, now)
  if chain.state == "bought" then
    return "chain_complete"
  elseif chain.state == "expired" or now >= deadline(chain) then
    return "chain_expired"
  end
  return nil
end

--- The floor is reached: the time to buy begins.
local function reach_floor(id, chain, now)
  assert(chain.price == chain.floor, "chains: all steps are taken above the floor price")
  chain.state, chain.buy_by, chain.next = "floor_reached", now + rules.get().buy_ttl, 0
  timers.at("chain", id, chain.buy_by)
  log.emit("bargain.floor_reached", { chain = id })
end

--- Takes the next steps off the price. The row is the caller's to put.
function chains.cut(id, chain, user, steps, now)
  local fen = 0
  for place = chain.taken + 1, chain.taken + steps do
    fen = fen + schedules.step(id, place)
  end
  chain.taken, chain.price = chain.taken + steps, chain.price - fen
  chain.cuts = cuts.add(chain.cuts, user, steps, fen)
  log.emit("bargain.cut", { chain = id, user = user, steps = steps, amount = fen })
  if chain.taken < chain.needed then
    chain.next = schedules.step(id, chain.taken + 1)
  else
    reach_floor(id, chain, now)
  end
end

--- The field of table `running` that names a shopper's chain of a SKU while it stands.
function chains.place(user, sku)
  return user .. "/" .. sku
end

local function finish(id, chain, outcome, now)
  if keeps(chain) then
    stock.release(chain.sku, 1)
  end
  chain.state, chain.closed_at = outcome, now
  state.del("running", chains.place(chain.user, chain.sku))
  state.put("chains", id, chain)
  log.emit("bargain.chain_" .. outcome, { chain = id })
end

--- An order takes the unit kept for it.
function chains.lend(chain)
  if keeps(chain) then
    stock.release(chain.sku, 1)
  end
end

--- Whether there is a unit for the chain's order.
function chains.has_unit(chain)
  return keeps(chain) or stock.has(chain.sku, 1)
end

--- The chain's order was paid: it is bought.
function program.paid(order_id, order, now)
  local chain = state.get("chains", order.chain)
  assert(chain.order == order_id and stands(chain), "chains: paid order of another")
  finish(order.chain, chain, "bought", now)
  orders.confirm(order_id, order.unit)
end

--- The chain's order was given up unpaid. The chain goes on while its deadline stands.
function program.released(_, order, now)
  local chain = state.get("chains", order.chain)
  chain.order = ""
  if keeps(chain) then
    stock.hold(chain.sku, 1)
  end
  if now >= deadline(chain) then
    finish(order.chain, chain, "expired", now)
  else
    state.put("chains", order.chain, chain)
  end
end

--- A payment came after its order was given up: it buys if the chain stands, no other order has taken its place and there is a unit.
function program.seat_again(order_id, order, now)
  local chain = state.get("chains", order.chain)
  if not stands(chain) or now >= deadline(chain) or chain.order ~= "" or not chains.has_unit(chain) then
    return false
  end
  chains.lend(chain)
  stock.hold(chain.sku, 1)
  limits.count(order.user, 1, "orders", "unpaid")
  chain.order = order_id
  state.put("chains", order.chain, chain)
  return true
end

--- An operator undid the order that bought: what is bought stays so, a chain that has ended never changes.
function program.undone() end

--- The deadline of a chain, or the end of its time to buy. An order that is undecided then decides the chain.
function due.chain(id, now)
  local chain = state.get("chains", id)
  if stands(chain) and chain.order == "" and now >= deadline(chain) then
    finish(id, chain, "expired", now)
  end
end
