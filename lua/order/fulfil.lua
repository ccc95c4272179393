--- The shop hands the goods over. A repeat finds the order fulfilled.
---
--- @arg   order
--- @reply fulfilled order
--- @refuse not_found | order_not_fulfillable (unpaid, not certain yet, or undone)
--- @event order.fulfilled
function ops.fulfil(op)
  local order = state.get("orders", op.order)
  if not order then
    return refuse("not_found")
  elseif order.state == "confirmed" then
    order.state = "fulfilled"
    state.put("orders", op.order, order)
    log.emit("order.fulfilled", { order = op.order })
  elseif order.state ~= "fulfilled" then
    return refuse("order_not_fulfillable")
  end
  return reply("fulfilled", state.raw("orders", op.order))
end
