--- Group-buy rooms: seats, leader, and how a room ends.
---
---     open ── every seat paid ──► formed (orders confirmed)
---       │──── deadline over, no seat undecided, enough have paid ──► formed at the price of the tier reached
---       └──── deadline over, no seat undecided, too few; or nobody left ──► failed (paid members refunded)

rooms = {}

local FULLNESS = 1e13 -- a joinable room's score: seats left first, then the deadline; below 2^53 for 200 seats

--- Stores the room and keeps its place in the list of joinable rooms.
function rooms.put(id, room, now)
  local left = room.size - room.taken
  if room.state == "open" and left > 0 and now < room.expires_at and rules.get().list_rooms then
    state.put_raw("joinable", id, string.format("%d", left * FULLNESS + room.expires_at))
  else
    state.del("joinable", id)
  end
  return state.put("rooms", id, room)
end

--- Which allowance a seat takes besides that of its order: the leader's room counts as opened, the others' as joined.
local function allowance(order)
  return order.opener == 1 and "opened" or "joined"
end

--- Units kept for the free seats of the smallest tier, one each. They count as held.
local function kept(room)
  return room.reserve == 1 and math.max(0, terms.least(room) - room.taken) or 0
end

--- Units that must be left for an order of the next seat.
function rooms.units(room, quantity)
  return kept(room) > 0 and quantity - 1 or quantity
end

--- The unit kept for the next seat is free for the order that takes it.
function rooms.lend(room)
  if kept(room) > 0 then
    stock.release(room.sku, 1)
  end
end

local function finish(id, room, outcome, now)
  if kept(room) > 0 then
    stock.release(room.sku, kept(room))
  end
  room.state, room.closed_at = outcome, now
  rules.count("rooms_open", -1)
  rules.count("rooms_" .. outcome, 1)
  rooms.put(id, room, now)
  log.emit("group_buy.room_" .. outcome, { room = id })
end

--- Enough is paid: the room has formed, at this price of a unit.
local function form(id, room, price, now)
  finish(id, room, "formed", now)
  for _, _, _, _, order_id in members.each(room.members) do
    orders.confirm(order_id, price)
  end
end

--- The room cannot form any more: every paid member has exactly one refund.
local function fail(id, room, now)
  finish(id, room, "failed", now)
  for _, _, _, _, order_id in members.each(room.members) do
    local order = state.get("orders", order_id)
    limits.count(order.user, -1, allowance(order))
    orders.undo(order_id, order, "room_failed")
  end
end

--- Decides what can be decided: called by every op that pays or frees a seat, and by the deadline.
local function decide(id, room, now)
  local over = now >= room.expires_at and room.paid == room.taken
  local price = (over or room.paid >= room.size) and terms.price(room, room.paid)
  if price then
    form(id, room, price, now)
  elseif over or room.taken == 0 then
    fail(id, room, now)
  else
    rooms.put(id, room, now)
  end
end

--- Gives a free seat of the room to a shopper's order. The allowance is the caller's to take.
function rooms.seat(id, room, user, order_id, now)
  room.taken = room.taken + 1
  room.members = members.add(room.members, user, order_id)
  return rooms.put(id, room, now)
end

--- A seat's order was paid; one without a room is certain at once.
function program.paid(order_id, order, now)
  if order.room == "" then
    return orders.confirm(order_id, order.unit)
  end
  local room = state.get("rooms", order.room)
  room.members = members.pay(room.members, order_id)
  assert(room.members and room.state == "open", "rooms: paid order without a seat")
  room.paid = room.paid + 1
  decide(order.room, room, now)
end

--- A seat's order was given up unpaid. If the leader goes, another member leads.
function program.released(order_id, order, now)
  if order.room == "" then
    return
  end
  local room = state.get("rooms", order.room)
  local others, led = members.remove(room.members, order_id)
  room.members, room.taken = others, room.taken - 1
  if kept(room) > 0 then
    stock.hold(room.sku, 1)
  end
  limits.count(order.user, -1, allowance(order))
  if led then
    local leader
    room.members, leader = members.succeed(others)
    log.emit("group_buy.leader_left", { room = order.room, leader = leader })
  end
  decide(order.room, room, now)
end

--- A payment came after an order without a room was given up: its units again, if they are left, the allowance permits and the
--- campaign is not over.
local function units_again(order, now)
  if rules.closed(now) == "campaign_ended" or not stock.has(order.sku, order.quantity) or rooms.over_limit(order.user) then
    return false
  elseif not budget.fits(order) then
    return false
  end
  stock.hold(order.sku, order.quantity)
  budget.take(order)
  limits.count(order.user, 1, "orders", "unpaid")
  return true
end

--- A payment came after its seat was given up: the seat again, if room, units and allowance permit.
function program.seat_again(order_id, order, now)
  if order.room == "" then
    return units_again(order, now)
  end
  local room = state.get("rooms", order.room)
  if room.state ~= "open" or now >= room.expires_at or room.taken >= room.size then
    return false
  elseif members.order_of(room.members, order.user) or not stock.has(order.sku, rooms.units(room, order.quantity)) then
    return false
  elseif not budget.fits(order) then
    return false
  elseif rooms.over_limit(order.user, allowance(order)) then
    return false
  end
  rooms.lend(room)
  stock.hold(order.sku, order.quantity)
  budget.take(order)
  limits.count(order.user, 1, "orders", "unpaid", allowance(order))
  rooms.seat(order.room, room, order.user, order_id, now)
  return true
end

local ROOMS_PER_USER = { opened = "rooms_opened_per_user", joined = "rooms_joined_per_user" }

--- Which limit per shopper stands against one more order, `opened`, `joined` or without a room, or nil. Unpaid holds are counted apart.
function rooms.over_limit(user, kind)
  local most, has = rules.get().limits, limits.of(user)
  if has.orders >= most.orders_per_user then
    return "order_limit_reached"
  elseif kind and has[kind] >= most[ROOMS_PER_USER[kind]] then
    return "room_limit_reached"
  end
  return nil
end

function due.room(id, now)
  local room = state.get("rooms", id)
  if room.state == "open" then
    decide(id, room, now)
  end
end

local CANDIDATES = 50 -- of all SKUs; looked at only when somebody was refused

--- Another room of the SKU that this shopper could join: packed { room, seats left, expires_at }, or nothing.
function rooms.alternative(sku, user, now)
  local ids = redis.call("ZRANGE", state.key("joinable"), 0, CANDIDATES - 1)
  for _, id in ipairs(ids) do
    local room = state.view("rooms", id)
    local left = room.size - room.taken
    if room.state == "open" and room.sku == sku and left > 0 and now < room.expires_at and not members.order_of(room.members, user) then
      return cmsgpack.pack({ id, left, room.expires_at })
    end
  end
end
