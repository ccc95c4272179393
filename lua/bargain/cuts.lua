--- Who took which steps of a chain, as its row keeps it: one text, for each cut the number of its steps, its fen and its helper, in order.
--- The owner's own cut is the first, if there is one.

cuts = {}

local CUT = ">BI5Bc0"

local function following(list, at)
  if at <= #list then
    local steps, fen, user, after = struct.unpack(CUT, list, at)
    return after, steps, fen, user
  end
end

--- The list with one more cut.
function cuts.add(list, user, steps, fen)
  return list .. struct.pack(CUT, steps, fen, #user, user)
end

--- Whether this shopper has cut.
function cuts.has(list, user)
  -- A look at the whole text tells most shoppers that they have not.
  if string.find(list, user, 1, true) then
    for _, _, _, helper in following, list, 1 do
      if helper == user then
        return true
      end
    end
  end
  return false
end
