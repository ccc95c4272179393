--- What happens to an order from outside. All of these free things or follow money, so overload never refuses them.

--- The order, if it is this shopper's; nobody learns of another's order.
local function own(op)
  local order = state.get("orders", op.order)
  return order and order.user == op.user and order or nil
end

--- Whether the time to pay has run out; an order that its shopper gave up is not payable for another reason.
local function expired(order, now)
  if order.state == "held" then
    return now >= order.pay_by
  end
  return (order.state == "closing" or order.state == "released") and order.reason ~= "cancelled" and not orders.called_off(order)
end

--- The shopper asks for the payment: from now on only the provider can say that it was not paid. A repeat finds it asked.
---
--- @arg   order user
--- @reply payment_asked order
--- @refuse not_found | order_expired | order_not_payable
--- @event order.payment_asked
function ops.payment_asked(op, now)
  local order = own(op)
  if not order then
    return refuse("not_found")
  elseif expired(order, now) then
    return refuse("order_expired")
  elseif order.state ~= "held" then
    return refuse("order_not_payable")
  end
  if order.asked == 0 then
    order.asked = 1
    state.put("orders", op.order, order)
    log.emit("order.payment_asked", { order = op.order })
  end
  return reply("payment_asked", state.raw("orders", op.order))
end

--- The shopper gives up an unpaid order. A repeat finds it released or closing.
---
--- @arg   order user
--- @reply cancelled order
--- @refuse not_found | order_not_cancellable
--- @event order.released | order.closing
function ops.cancel(op, now)
  local order = own(op)
  if not order then
    return refuse("not_found")
  elseif order.state == "held" then
    orders.give_up(op.order, order, now, "cancelled")
  elseif order.state ~= "closing" and order.state ~= "released" then
    return refuse("order_not_cancellable")
  end
  return reply("cancelled", state.raw("orders", op.order))
end

--- The provider says that the payment is closed and can no longer happen. A repeat finds it released.
---
--- @arg   order
--- @reply closed order
--- @refuse not_found
--- @event order.released
function ops.closed(op, now)
  local order = state.get("orders", op.order)
  if not order then
    return refuse("not_found")
  elseif order.state == "closing" then
    orders.release(op.order, order, now, order.reason)
  end
  return reply("closed", state.raw("orders", op.order))
end

local function seen(order, transaction)
  for _, known in ipairs(order.transactions) do
    if known == transaction then
      return true
    end
  end
  return false
end

--- A payment that buys nothing goes straight back.
local function send_back(id, order, op, reason)
  if op.amount > 0 then
    orders.refund(id, order, op.amount, op.transaction, reason, "taken")
  end
  log.emit("order.payment_returned", { order = id, transaction = op.transaction, reason = reason })
  state.put("orders", id, order)
end

--- A payment for an order that was given up goes back.
local function turn_down(id, order, op, reason)
  order.state = op.amount > 0 and "refund_due" or "refunded"
  order.reason, order.paid_at = reason, op.paid_at
  send_back(id, order, op, reason)
end

--- A seat that waited for this payment is paid.
local function settle(id, order, op, now)
  order.state, order.paid_at, order.reason, order.settled = "paid", op.paid_at, "", op.transaction
  stock.sell(order.sku, order.quantity)
  limits.count(order.user, -1, "unpaid")
  log.emit("order.paid", { order = id, transaction = op.transaction, amount = op.amount })
  state.put("orders", id, order)
  program.paid(id, order, now)
end

--- Money came in. A repeat is recognised by the provider's transaction number.
--- A payment after the seat was given up is seated again if room, units and allowance permit, else it goes back: never dropped. It also
--- goes back if an operator has called the order off.
--- `barred` says why this buyer may not have the order any more (newcomers_only): its seat is free and the payment goes back.
---
--- @arg   order transaction amount paid_at barred
--- @reply paid order
--- @refuse not_found
--- @event order.paid | order.refund_due, order.payment_returned | order.released
function ops.pay(op, now)
  local id = op.order
  local order = state.get("orders", id)
  if not order then
    return refuse("not_found")
  elseif seen(order, op.transaction) then
    return reply("paid", state.raw("orders", id))
  end
  local called_off = orders.called_off(order)
  local waiting = order.state == "held" or order.state == "closing"
  order.transactions[#order.transactions + 1] = op.transaction
  order.paid = order.paid + op.amount
  if op.amount ~= order.unit * order.quantity then
    send_back(id, order, op, "amount_differs")
  elseif (op.barred or called_off) and (waiting or order.state == "released") then
    if waiting then
      orders.release(id, order, now, op.barred or order.reason)
    end
    turn_down(id, order, op, op.barred or "late_payment")
  elseif waiting then
    settle(id, order, op, now)
  elseif order.state == "released" and program.seat_again(id, order, now) then
    log.emit("order.seated_again", { order = id })
    settle(id, order, op, now)
  elseif order.state == "released" then
    turn_down(id, order, op, "late_payment")
  else
    send_back(id, order, op, "paid_twice")
  end
  return reply("paid", state.raw("orders", id))
end

--- The provider executed a refund. A repeat finds that number executed.
---
--- @arg   order number
--- @reply refunded order
--- @refuse not_found
--- @event order.refunded
function ops.refunded(op)
  local order = state.get("orders", op.order)
  local refund = order and order.refunds[op.number]
  if not refund then
    return refuse("not_found")
  elseif refund[2] == 0 then
    refund[2] = 1
    order.refunded = order.refunded + refund[1]
    if order.state == "refund_due" and order.refunded >= order.paid then
      order.state = "refunded"
    end
    state.put("orders", op.order, order)
    log.emit("order.refunded", { order = op.order, number = op.number, amount = refund[1] })
  end
  return reply("refunded", state.raw("orders", op.order))
end
