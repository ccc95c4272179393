--- What operators take back: a part of an order's money, all of it, or an order as a whole. Never more goes back than was paid: what is
--- kept is counted in the very op that sends it back, and each refund's number is made there, once.

local MOST_PARTS = 49 -- partial refunds of one order; one more may return the rest. Providers take about fifty of one payment

local function gone(order)
  return order.state == "refund_due" or order.state == "refunded"
end

--- Undoes a paid order: its seat in an open room is free, its money goes back. Units come back to stock, but those that were handed over
--- come back to the shop: whether they can be sold again is not for us to say.
local function undo(id, order, now, reason)
  local handed_over = order.state == "fulfilled"
  orders.undo(id, order, reason)
  if handed_over then
    stock.add(order.sku, -order.quantity)
  end
  log.emit("order.undone", { order = id, reason = reason })
  program.undone(id, order, now)
end

--- Whether an order that is undone already was undone by asking for so much: then this is the repeat.
local function asked_before(order, amount)
  local last = order.refunds[#order.refunds]
  return amount == 0 or (last ~= nil and last[1] == amount)
end

--- Send money back. Less than what is kept of the price leaves the order as it is, if its good is certain; each such call is a refund of
--- its own, and its repeat is recognised by its Idempotency-Key. All of it undoes the order; the repeat finds it undone.
---
--- @arg   order amount (fen; 0: the rest) reason
--- @reply refunding order
--- @refuse not_found | not_refundable (nothing was paid, or more is asked back than is kept, or a part though the good is not certain yet)
--- @event order.refund_due, order.undone
function ops.refund(op, now)
  local order = state.get("orders", op.order)
  if not order then
    return refuse("not_found")
  elseif gone(order) and asked_before(order, op.amount) then
    return reply("refunding", state.raw("orders", op.order))
  end
  local certain = order.state == "confirmed" or order.state == "fulfilled"
  local left = orders.kept(order)
  if not (certain or order.state == "paid") or op.amount > left then
    return refuse("not_refundable")
  elseif op.amount == 0 or op.amount == left then
    undo(op.order, order, now, op.reason)
  elseif certain and #order.refunds < MOST_PARTS then
    orders.refund(op.order, order, op.amount, order.settled, op.reason, "kept")
    state.put("orders", op.order, order)
  else
    return refuse("not_refundable")
  end
  return reply("refunding", state.raw("orders", op.order))
end

--- Call an order off. Unpaid, it is given up like a hold that is over, and a payment that still comes goes back; paid, it is undone whole.
--- A repeat finds it called off or undone.
---
--- @arg   order reason
--- @reply called_off order
--- @refuse not_found | order_not_cancellable (the goods were handed over: it can only be refunded)
--- @event order.released | order.closing | order.called_off | order.refund_due, order.undone
function ops.call_off(op, now)
  local id = op.order
  local order = state.get("orders", id)
  if not order then
    return refuse("not_found")
  elseif order.state == "held" then
    orders.give_up(id, order, now, op.reason)
  elseif order.state == "closing" or order.state == "released" then
    if not orders.called_off(order) then
      order.reason = op.reason
      state.put("orders", id, order)
      log.emit("order.called_off", { order = id, reason = op.reason })
    end
  elseif order.state == "paid" or order.state == "confirmed" then
    undo(id, order, now, op.reason)
  elseif not gone(order) then
    return refuse("order_not_cancellable")
  end
  return reply("called_off", state.raw("orders", id))
end
