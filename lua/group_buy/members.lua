--- The seats of a room as its row keeps them: one text, for each seat the length of its user (128 more when it is paid), its user, the
--- length of its order and its order. The leader's seat comes first, the others follow in the order of joining. Most ops only add to the
--- text; the few that must, take it apart.

members = {}

local PAID = 128

local function following(list, at)
  if at <= #list then
    local mark = string.byte(list, at)
    local to = at + mark % PAID
    local after = to + 2 + string.byte(list, to + 1)
    return after, at, mark >= PAID, string.sub(list, at + 1, to), string.sub(list, to + 2, after - 1)
  end
end

--- All seats: `for after, at, paid, user, order in members.each(list)`; `at` and `after` are where the seat begins and the next one does.
function members.each(list)
  return following, list, 1
end

--- The list with one more seat, not paid.
function members.add(list, user, order)
  return list .. struct.pack("Bc0Bc0", #user, user, #order, order)
end

--- The order of this shopper's seat, or nil.
function members.order_of(list, user)
  -- A look at the whole text tells most shoppers that they have none.
  if string.find(list, user, 1, true) then
    for _, _, _, owner, order in members.each(list) do
      if owner == user then
        return order
      end
    end
  end
end

--- Where an order's seat begins and the next one does; nil when it has none.
local function find(list, wanted)
  for after, at, _, _, order in members.each(list) do
    if order == wanted then
      return at, after
    end
  end
end

--- The list with an order's seat paid; nil when it has none.
function members.pay(list, order)
  local at = find(list, order)
  return at and string.sub(list, 1, at - 1) .. string.char(PAID + string.byte(list, at)) .. string.sub(list, at + 1)
end

--- The list without an order's seat, and whether that one led.
function members.remove(list, order)
  local at, after = find(list, order)
  return string.sub(list, 1, at - 1) .. string.sub(list, after), at == 1
end

--- The list with its next leader in front, and the leader's order: the first who paid, else the first who holds a seat, else nobody ("").
function members.succeed(list)
  for after, at, paid, _, order in members.each(list) do
    if paid then
      return string.sub(list, at, after - 1) .. string.sub(list, 1, at - 1) .. string.sub(list, after), order
    end
  end
  local _, _, _, _, first = following(list, 1)
  return list, first or ""
end
