--- Buy alone, at the solo price, from the same stock: an order without a room, confirmed as soon as it is paid. A repeat is recognised by
--- its Idempotency-Key, or by the order id when the caller sends the very same op again after an unknown outcome.
---
--- @arg   order user device sku quantity share referral
--- @reply ordered order id
--- @refuse not_found (also where the item is not sold alone) | campaign_not_live | campaign_ended | device_limit_reached
---         | order_limit_reached | unpaid_limit_reached | sold_out | budget_exhausted
--- @event order.held
function ops.order_solo(op, now)
  local placed = orders.placed(op)
  if placed then
    return reply("ordered", placed, op.order)
  end
  local item = seats.offer(op.sku)
  local price = item and item.solo_price
  local refusal = not price and "not_found" or rules.closed(now) or seats.barred(op, op.sku, nil, op.quantity, price)
  if refusal then
    return refuse(refusal)
  end
  return reply("ordered", orders.place(op, op.sku, price, nil, now), op.order)
end
