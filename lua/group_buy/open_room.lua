--- The first tier of a SKU, or nil when the campaign does not sell it.
local function offer(sku)
  local item = rules.get() and rules.get().items[sku]
  return item and item.tiers[1], item
end

--- What every seat must pass besides its room: device, allowance, units, budget. `kind` is `opened` or `joined`. Answers a refusal word or
--- nil.
local function barred(op, sku, price, kind)
  local most = rules.get().limits
  if not limits.device_allows(op.user, op.device, most.users_per_device) then
    return "device_limit_reached"
  elseif op.quantity > most.quantity_per_order then
    return "order_limit_reached"
  end
  local limit = rooms.over_limit(op.user, kind)
  if limit then
    return limit
  elseif limits.of(op.user).unpaid >= most.unpaid_per_user then
    return "unpaid_limit_reached"
  elseif not stock.has(sku, op.quantity) then
    return "sold_out"
  elseif not budget.fits({ state = "held", sku = sku, unit = price, quantity = op.quantity, room = op.room }) then
    return "budget_exhausted"
  end
  return nil
end

--- Seats a new order and answers the packed rows of room and order.
local function take_seat(op, room, kind, now)
  local order_row = orders.place(op, room.sku, room.price, kind, now)
  return rooms.seat(op.room, room, op.user, op.order, now), order_row
end

seats = { barred = barred, take = take_seat }

--- Open a room and take its first seat; the opener leads. A repeat is recognised by its Idempotency-Key, or by the room id when
--- the caller sends the very same op again after an unknown outcome.
---
--- @arg   room order user device sku quantity
--- @reply opened room order
--- @refuse not_found | campaign_not_live | campaign_ended | device_limit_reached | order_limit_reached | room_limit_reached
---         | unpaid_limit_reached | sold_out | budget_exhausted
--- @event order.held, group_buy.room_opened
function ops.open_room(op, now)
  if state.raw("rooms", op.room) then
    return reply("opened", state.raw("rooms", op.room), state.raw("orders", op.order))
  end
  local tier = offer(op.sku)
  local refusal = not tier and "not_found" or rules.closed(now) or barred(op, op.sku, tier.price, "opened")
  if refusal then
    return refuse(refusal)
  end
  local definition = rules.get()
  local room = {
    state = "open", sku = op.sku, size = tier.size, price = tier.price, opened_at = now, closed_at = 0,
    expires_at = math.min(now + definition.room_ttl, definition.ends_at), version = definition.version, taken = 0, paid = 0, members = "",
  }
  rules.count("rooms_open", 1)
  timers.at("room", op.room, room.expires_at)
  log.emit("group_buy.room_opened", { room = op.room })
  return reply("opened", take_seat(op, room, "opened", now))
end
