--- Why the chain's owner may not order now, or nil.
local function barred(op, chain, now)
  local over = chains.over(chain, now)
  if over then
    return over
  elseif rules.get().floor_only and chain.state == "open" then
    return "floor_not_reached"
  elseif not limits.device_allows(op.user, op.device, rules.get().limits.users_per_device) then
    return "device_limit_reached"
  elseif not chains.has_unit(chain) then
    return "sold_out"
  end
  return nil
end

--- The owner orders at the price of the moment; the order keeps it, and helpers go on cutting until it is paid. A repeat is recognised by
--- the chain's order that waits for its payment. Deadlines run on while a campaign is paused, so buying goes on too.
---
--- @arg   chain order user device quantity (1) share (the link that the owner came by, if any)
---        referral (who earns by it, if anybody)
--- @reply ordered order id
--- @reply awaiting order id
--- @refuse not_found | forbidden (not the owner) | chain_complete | chain_expired | floor_not_reached | device_limit_reached | sold_out
--- @event order.held
function ops.order_chain(op, now)
  local chain = state.get("chains", op.chain)
  if not chain then
    return refuse("not_found")
  elseif chain.user ~= op.user then
    return refuse("forbidden")
  elseif chain.order ~= "" and chain.state ~= "bought" then
    return reply(chain.order == op.order and "ordered" or "awaiting", state.raw("orders", chain.order), chain.order)
  end
  local refusal = barred(op, chain, now)
  if refusal then
    return refuse(refusal)
  end
  chains.lend(chain)
  local order_row = orders.place(op, chain.sku, chain.price, nil, now)
  chain.order = op.order
  state.put("chains", op.chain, chain)
  return reply("ordered", order_row, op.order)
end
