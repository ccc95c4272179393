--- The life of an order, whatever it buys:
---
---     held ── paid ── confirmed ── fulfilled
---      │        └─ refund_due ── refunded
---      └─ closing ── released          (a late payment: seated again, or refund_due)
---
--- What an order means to the thing it buys is the program's own: `program.paid`, `program.released`, `program.seat_again`,
--- `program.undone`.

-- paid(id, order, now) · released(id, order, now) · seat_again(id, order, now) -> whether it was possible · undone(id, order, now)
program = {}

orders = {}

local CLOSING_PATIENCE = 600 * 1000 -- ms until a seat is given up though the provider never answered

--- The packed row of the order that an op places, if it did so before. Ids are made by chance: an op that meets one of somebody else
--- breaks, and its caller asks again with another.
function orders.placed(op)
  local order = state.view("orders", op.order)
  assert(not order or order.user == op.user, "orders: an id of somebody else")
  return order and state.raw("orders", op.order)
end

--- Writes a new order with its hold: `op` says whose it is, by which link its shopper came (`share`, if any), who earns by it (`referral`,
--- if anybody: only handed on to the event), in which room or chain if in one, and whether its buyer must be a newcomer; `allowance` what
--- else it takes of its shopper's allowance: `opened`, `joined` or nothing.
--- The units must be left, the limits kept, the budget not used up.
function orders.place(op, sku, price, allowance, now)
  local id, definition = op.order, rules.get()
  assert(not state.raw("orders", id), "orders: an id of another order")
  local order = {
    state = "held", sku = sku, quantity = op.quantity, user = op.user, room = op.room or "", chain = op.chain or "",
    opener = allowance == "opened" and 1 or 0, newcomer = op.newcomer and 1 or 0, unit = price, created_at = now,
    pay_by = now + definition.payment_ttl, version = definition.version, asked = 0, reason = "", transactions = {},
  }
  stock.hold(order.sku, order.quantity)
  budget.take(order)
  limits.count(order.user, 1, "orders", "unpaid", allowance)
  limits.meet_device(op.user, op.device)
  timers.at("hold", id, order.pay_by)
  log.emit("order.held", { order = id, share = op.share, referral = op.referral })
  return state.put("orders", id, order)
end

--- Gives up an unpaid order: seat, units and allowance are free again.
function orders.release(id, order, now, reason)
  budget.give(order)
  order.state, order.reason = "released", reason
  stock.release(order.sku, order.quantity)
  limits.count(order.user, -1, "orders", "unpaid")
  log.emit("order.released", { order = id, reason = reason })
  state.put("orders", id, order)
  program.released(id, order, now)
end

--- The provider is asked to close the payment; until it answers, seat and units stay reserved, for the shopper may be paying.
function orders.close(id, order, now, reason)
  order.state, order.reason = "closing", reason
  timers.at("close", id, now + CLOSING_PATIENCE)
  log.emit("order.closing", { order = id })
  state.put("orders", id, order)
end

-- Why an unpaid order is given up without an operator having said so. Any other reason is an operator's own words.
local OURS = { cancelled = true, hold_expired = true, close_unanswered = true }

--- Whether an operator called this unpaid order off: then no payment brings it back.
function orders.called_off(order)
  return (order.state == "closing" or order.state == "released") and not OURS[order.reason]
end

--- Ends a hold: at once if no payment was ever asked for, through the provider otherwise.
function orders.give_up(id, order, now, reason)
  if order.asked == 1 then
    orders.close(id, order, now, reason)
  else
    orders.release(id, order, now, reason)
  end
end

--- Money goes back: `amount` fen of the payment `transaction`. The number is made here, once, and every retry uses it. `from` tells the
--- ledger where the money is: `taken` (just came in), `received` (paid, the good is not certain yet) or `kept`.
function orders.refund(id, order, amount, transaction, reason, from)
  local number = #order.refunds + 1
  order.refunds[number] = { amount, 0 }
  log.emit("order.refund_due", {
    order = id, number = number, amount = amount, transaction = transaction, reason = reason, from = from,
  })
end

--- What was paid and is neither back nor on its way back.
function orders.kept(order)
  local amount = order.paid
  for _, refund in ipairs(order.refunds) do
    amount = amount - refund[1]
  end
  return amount
end

--- A paid order is undone whole: units and allowance are free again, everything paid and not yet on its way back goes back.
function orders.undo(id, order, reason)
  local amount, from = orders.kept(order), order.state == "paid" and "received" or "kept"
  budget.give(order)
  order.state, order.reason = amount > 0 and "refund_due" or "refunded", reason
  stock.unsell(order.sku, order.quantity)
  limits.count(order.user, -1, "orders")
  if amount > 0 then
    orders.refund(id, order, amount, order.settled, reason, from)
  end
  state.put("orders", id, order)
end

--- The order's good is certain, at this price of a unit. What was paid above it goes back; who paid less pays no more.
function orders.confirm(id, price)
  local order = state.get("orders", id)
  local amount = orders.kept(order)
  local above = math.min((order.unit - price) * order.quantity, amount)
  order.state = "confirmed"
  log.emit("order.confirmed", { order = id, amount = amount })
  if above > 0 then
    orders.refund(id, order, above, order.settled, "tier_reached", "kept")
  end
  state.put("orders", id, order)
end

function due.hold(id, now)
  local order = state.get("orders", id)
  if order.state == "held" then
    orders.give_up(id, order, now, "hold_expired")
  end
end

function due.close(id, now)
  local order = state.get("orders", id)
  if order.state == "closing" then
    orders.release(id, order, now, orders.called_off(order) and order.reason or "close_unanswered")
  end
end
