--- What a room needs in order to form, as it stood when the room was opened: a later version of the definition changes nothing for it.
--- A room of one size keeps none (""): its size and price stand in its row. Else one text: the number of members accepted at the deadline
--- (0: as many as a tier asks for), then size and price of each tier of a ladder.

terms = {}

local STEP = ">BI5"
local STEP_BYTES = 6

--- The text for a room of these tiers.
function terms.pack(tiers, accept_from)
  local text = (tiers[2] or accept_from) and struct.pack("B", accept_from or 0) or ""
  for _, tier in ipairs(tiers[2] and tiers or {}) do
    text = text .. struct.pack(STEP, tier.size, tier.price)
  end
  return text
end

--- The size of a room's smallest tier.
function terms.least(room)
  return string.byte(room.terms, 2) or room.size
end

--- The price of a unit at which a room forms with so many paid members and no others to come: that of the highest tier reached, the
--- first tier's if they are fewer but enough to be accepted; nil when they are too few.
function terms.price(room, paid)
  if paid < terms.least(room) then
    local accepted = string.byte(room.terms, 1) or 0
    return accepted > 0 and paid >= accepted and room.price or nil
  end
  local price = room.price
  for at = 2, #room.terms, STEP_BYTES do
    local size, reached = struct.unpack(STEP, room.terms, at)
    price = paid >= size and reached or price
  end
  return price
end
