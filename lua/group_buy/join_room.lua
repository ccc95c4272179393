--- Why a room takes nobody now, or nil.
local function shut(room, now)
  if room.state ~= "open" then
    return "room_closed"
  elseif now >= room.expires_at then
    return "room_expired"
  elseif room.taken >= room.size then
    return "room_full"
  end
  return nil
end

--- Take one seat in an open room. A repeat by the same shopper is recognised by the seat it already has, even when the room has closed;
--- the very same op that runs again after its seat was given up, by the order id.
--- An ended campaign lets its open rooms fill; a paused one does not.
---
--- @arg   room order user device quantity newcomer (whether the shopper is one, where only they may join) share referral
--- @reply joined room order
--- @reply already_in_room room order
--- @refuse not_found | campaign_not_live | newcomers_only | room_closed, room_expired, room_full (with an alternative)
---         | device_limit_reached | order_limit_reached | room_limit_reached | unpaid_limit_reached | sold_out | budget_exhausted
--- @event order.held
function ops.join_room(op, now)
  local room = state.get("rooms", op.room)
  if not room then
    return refuse("not_found")
  end
  local seat = members.order_of(room.members, op.user)
  if seat then
    return reply("already_in_room", state.raw("rooms", op.room), state.raw("orders", seat))
  end
  local placed = orders.placed(op)
  if placed then
    return reply("joined", state.raw("rooms", op.room), placed)
  end
  local closed = shut(room, now)
  if closed then
    return refuse(closed, rooms.alternative(room.sku, op.user, now))
  end
  local halted = rules.halted("join")
  if halted then
    return refuse(halted)
  elseif rules.get().newcomers_only and not op.newcomer then
    return refuse("newcomers_only")
  end
  local refusal = seats.barred(op, room.sku, "joined", rooms.units(room, op.quantity), room.price)
  if refusal then
    return refuse(refusal)
  end
  return reply("joined", seats.take(op, room, "joined", room.price, now))
end
