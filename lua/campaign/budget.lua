--- The loss budget: the most that a campaign may give away. Everything here does nothing where the rules name none.
---
--- An order's loss is the list price less what a unit costs it, for all its units, and nothing where it pays more. In a room it counts at
--- the lowest price the room may form at, so that the budget holds whatever comes. It counts as long as the order holds or owns units; an
--- order given up or sent back gives its loss back.
---
--- The campaign is paused by the budget exactly while no order fits: a live one pauses itself, and goes on by itself when something has
--- come back or the budget was raised. A pause by an operator is never ended here.

budget = {}

--- What an order loses at most.
local function loss(order)
  local item, price = rules.get().items[order.sku], order.unit
  if order.room ~= "" then
    price = math.min(price, item.tiers[#item.tiers].price)
  end
  return math.max(0, item.list - price) * order.quantity
end

--- Whether so much more may be lost.
local function has(fen)
  local most = rules.get().loss_budget
  return not most or rules.status().loss + fen <= most
end

--- Whether an order's loss fits.
function budget.fits(order)
  return not rules.get().loss_budget or has(loss(order))
end

--- Whether any order at all fits.
function budget.fits_any()
  return has(rules.get().least_loss)
end

--- Pauses or goes on, as the budget says now.
function budget.review()
  local row = rules.status()
  local paused, fits = row.status == "paused" and row.paused_by == "loss_budget", budget.fits_any()
  if row.status == "live" and not fits then
    rules.set_status("paused", "loss_budget")
  elseif paused and fits then
    rules.set_status("live", "")
  end
end

local function add(fen)
  if fen ~= 0 then
    rules.count("loss", fen)
    budget.review()
  end
end

--- An order takes its loss. Ask `fits` first.
function budget.take(order)
  if rules.get().loss_budget then
    add(loss(order))
  end
end

--- An order that holds or owns units, as it is before the change, gives its loss back.
function budget.give(order)
  if rules.get().loss_budget then
    add(-loss(order))
  end
end
