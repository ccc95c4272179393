--- The item of a SKU, or nil when the campaign does not sell it.
local function offer(sku)
  return rules.get() and rules.get().items[sku]
end

--- What every order must pass besides its room: device, allowance, units that must be left, budget. `kind` is `opened`, `joined` or nil,
--- `price` that of a unit. Answers a refusal word or nil.
local function barred(op, sku, kind, units, price)
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
  elseif not stock.has(sku, units) then
    return "sold_out"
  elseif not budget.fits({ state = "held", sku = sku, unit = price, quantity = op.quantity, room = op.room or "" }) then
    return "budget_exhausted"
  end
  return nil
end

--- Seats a new order at this price of a unit and answers the packed rows of room and order.
local function take_seat(op, room, kind, price, now)
  rooms.lend(room)
  local order_row = orders.place(op, room.sku, price, kind, now)
  return rooms.seat(op.room, room, op.user, op.order, now), order_row
end

seats = { offer = offer, barred = barred, take = take_seat }

--- A room of this item, still empty.
local function empty_room(op, item, now)
  local definition = rules.get()
  return {
    state = "open", sku = op.sku, size = item.tiers[#item.tiers].size, price = item.tiers[1].price, opened_at = now, closed_at = 0,
    expires_at = math.min(now + definition.room_ttl, definition.ends_at), version = definition.version, taken = 0, paid = 0,
    members = "", terms = terms.pack(item.tiers, definition.accept_from), reserve = item.reserve_room and 1 or 0,
  }
end

--- Open a room and take its first seat; the opener leads, and pays the leader's price if there is one: it stays his whoever leads later.
--- Where the item says so, one unit is kept for each free seat of the smallest tier. A repeat is recognised by its Idempotency-Key, or by
--- the room id when the caller sends the very same op again after an unknown outcome.
---
--- @arg   room order user device sku quantity share referral (by which link the shopper came, who earns by the order; if any)
--- @reply opened room order
--- @refuse not_found | campaign_not_live | campaign_ended | device_limit_reached | order_limit_reached | room_limit_reached
---         | unpaid_limit_reached | sold_out | budget_exhausted
--- @event order.held, group_buy.room_opened
function ops.open_room(op, now)
  local placed = orders.placed(op)
  if placed then
    return reply("opened", state.raw("rooms", op.room), placed)
  end
  assert(not state.raw("rooms", op.room), "rooms: an id of another room")
  local item = offer(op.sku)
  local reserve = item and item.reserve_room and item.tiers[1].size or 0
  local units = op.quantity + math.max(0, reserve - 1)
  local price = item and (item.leader_price or item.tiers[1].price)
  local refusal = not item and "not_found" or rules.closed(now) or barred(op, op.sku, "opened", units, price)
  if refusal then
    return refuse(refusal)
  end
  local room = empty_room(op, item, now)
  if reserve > 0 then
    stock.hold(op.sku, reserve)
  end
  rules.count("rooms_open", 1)
  timers.at("room", op.room, room.expires_at)
  log.emit("group_buy.room_opened", { room = op.room })
  return reply("opened", take_seat(op, room, "opened", item.leader_price or room.price, now))
end
