--- Bonds: who was invited by whom. One that is past its time counts as none everywhere; nothing fires, whoever asks looks at the clock.

bonds = {}

--- A shopper's living bond, to look at, or nil.
function bonds.of(user, now)
  local bond = state.view("bonds", user)
  if bond and (bond.expires_at == 0 or now < bond.expires_at) then
    return bond
  end
  return nil
end

local MOST_ANCESTORS = 64

--- How many ancestors a living bond had when it was made; 0 for somebody without one.
local function above(user, now)
  local bond = bonds.of(user, now)
  return bond and bond.above or 0
end

-- Who has ever invited somebody has a row in `inviters`, "1", and keeps it whatever becomes of the bond.

--- How many ancestors somebody has who is bound to this inviter now; nil where the bond would close a circle, or would have more ancestors
--- than anybody looks at. Who has invited nobody stands above nobody and closes no circle: then the inviter's own bond tells how many there
--- are, and nobody is looked up. (Where an ancestor was bound to somebody only after it was made, there are more.) Bonds end by time and by
--- hand only, so a circle that is not there when its last bond is made never comes.
function bonds.ancestors(user, inviter, now)
  local count = above(inviter, now) + 1
  if count <= MOST_ANCESTORS and not state.raw("inviters", user) then
    return count
  end
  local ancestor = inviter
  for place = 1, MOST_ANCESTORS do
    if ancestor == user then
      return nil
    end
    local bond = bonds.of(ancestor, now)
    if not bond then
      return place
    end
    ancestor = bond.inviter
  end
  return nil
end

--- Until when a bond holds that is made now; nil: for ever.
function bonds.ends_at(now)
  local life = rules.get().expires_after
  return life and now + life or nil
end

--- Makes a bond in place of any there was, with so many ancestors; gives its packed row.
function bonds.make(user, inviter, ancestors, now)
  if not state.raw("inviters", inviter) then
    state.put_raw("inviters", inviter, "1")
  end
  local expires_at = bonds.ends_at(now) or 0
  return state.put("bonds", user, {
    inviter = inviter, bound_at = now, expires_at = expires_at, version = rules.version(), above = ancestors,
  })
end
