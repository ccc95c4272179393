--- Group-buy rooms: seats, leader, and how a room ends.
---
---     open ── every seat paid ──► formed (orders confirmed)
---       └──── deadline over and no seat undecided, or nobody left ──► failed (paid members refunded)

rooms = {}

local FULLNESS = 1e13 -- a joinable room's score: seats left first, then the deadline; below 2^53 for 200 seats

--- Members that have paid, and whether any has not decided yet.
function rooms.tally(room)
  local paid = 0
  for _, member in ipairs(room.members) do
    paid = paid + member[3]
  end
  return paid, #room.members > paid
end

--- Stores the room and keeps its place in the list of joinable rooms.
function rooms.put(id, room, now)
  local left = room.size - #room.members
  if room.state == "open" and left > 0 and now < room.expires_at and rules.get().list_rooms then
    state.put_raw("joinable", id, string.format("%.0f", left * FULLNESS + room.expires_at))
  else
    state.del("joinable", id)
  end
  return state.put("rooms", id, room)
end

--- The member whose order it is, and the place in the list.
local function member_of(room, order_id)
  for place, member in ipairs(room.members) do
    if member[2] == order_id then
      return member, place
    end
  end
end

--- The order of this shopper's seat in the room, or nil.
function rooms.seat_of(room, user)
  for _, member in ipairs(room.members) do
    if member[1] == user then
      return member[2]
    end
  end
end

--- The next leader: the first who paid, else the first who holds a seat, else nobody.
local function succeed(room)
  local heir = room.members[1]
  for _, member in ipairs(room.members) do
    if member[3] == 1 then
      heir = member
      break
    end
  end
  room.leader = heir and heir[2] or ""
end

--- Gives back the allowance that a seat took: the leader's room counts as opened, the others' as joined.
local function free_allowance(order)
  limits.count(order.user, { [order.opener == 1 and "opened" or "joined"] = -1 })
end

local function finish(id, room, outcome, now)
  room.state, room.closed_at = outcome, now
  timers.cancel("room", id)
  rules.count("rooms_open", -1)
  rules.count("rooms_" .. outcome, 1)
  rooms.put(id, room, now)
  log.emit("group_buy.room_" .. outcome, { room = id })
end

--- Every seat is paid: the room has formed.
local function form(id, room, now)
  finish(id, room, "formed", now)
  for _, member in ipairs(room.members) do
    orders.confirm(member[2])
  end
end

--- The room cannot form any more: every paid member has exactly one refund.
local function fail(id, room, now)
  finish(id, room, "failed", now)
  for _, member in ipairs(room.members) do
    local order = state.get("orders", member[2])
    free_allowance(order)
    orders.undo(member[2], order, "room_failed")
  end
end

--- Decides what can be decided: called by every op that pays or frees a seat, and by the deadline.
local function decide(id, room, now)
  local paid, undecided = rooms.tally(room)
  if paid >= room.size then
    form(id, room, now)
  elseif #room.members == 0 or (now >= room.expires_at and not undecided) then
    fail(id, room, now)
  else
    rooms.put(id, room, now)
  end
end

--- Seats an order in a room that has a free seat.
function rooms.seat(id, room, order_id, order, now)
  room.members[#room.members + 1] = { order.user, order_id, 0 }
  limits.count(order.user, { [order.opener == 1 and "opened" or "joined"] = 1 })
  return rooms.put(id, room, now)
end

--- A seat's order was paid.
function program.paid(order_id, order, now)
  local room = state.get("rooms", order.room)
  local member = member_of(room, order_id)
  assert(member and room.state == "open", "rooms: paid order without a seat")
  member[3] = 1
  decide(order.room, room, now)
end

--- A seat's order was given up unpaid. If the leader goes, another member leads.
function program.released(order_id, order, now)
  local room = state.get("rooms", order.room)
  local _, place = member_of(room, order_id)
  table.remove(room.members, place)
  free_allowance(order)
  if room.leader == order_id then
    succeed(room)
    log.emit("group_buy.leader_left", { room = order.room, leader = room.leader })
  end
  decide(order.room, room, now)
end

--- A payment came after its seat was given up: the seat again, if room, units and allowance permit.
function program.seat_again(order_id, order, now)
  local room = state.get("rooms", order.room)
  if room.state ~= "open" or now >= room.expires_at or #room.members >= room.size then
    return false
  elseif rooms.seat_of(room, order.user) or not stock.has(order.sku, order.quantity) then
    return false
  elseif rooms.over_limit(order.user, order.opener == 1 and "opened" or "joined") then
    return false
  end
  stock.hold(order.sku, order.quantity)
  limits.count(order.user, { orders = 1, unpaid = 1 })
  rooms.seat(order.room, room, order_id, order, now)
  return true
end

--- Which limit per shopper stands against one more order that is `opened` or `joined`, or nil. Unpaid holds are counted apart.
function rooms.over_limit(user, kind)
  local most, has = rules.get().limits, limits.of(user)
  if has.orders >= most.orders_per_user then
    return "order_limit_reached"
  elseif has[kind] >= most["rooms_" .. kind .. "_per_user"] then
    return "room_limit_reached"
  end
  return nil
end

function due.room(id, now)
  local room = state.get("rooms", id)
  timers.cancel("room", id)
  decide(id, room, now)
end

local CANDIDATES = 50 -- of all SKUs; looked at only when somebody was refused

--- Another room of the SKU that this shopper could join: packed { room, seats left, expires_at }, or nothing.
function rooms.alternative(sku, user, now)
  local ids = redis.call("ZRANGE", state.key("joinable"), 0, CANDIDATES - 1)
  for _, id in ipairs(ids) do
    local room = state.get("rooms", id)
    local left = room.size - #room.members
    if room.state == "open" and room.sku == sku and left > 0 and now < room.expires_at and not rooms.seat_of(room, user) then
      return cmsgpack.pack({ id, left, room.expires_at })
    end
  end
end
