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

-- Who has ever invited somebody has a row in `inviters`, "1", and keeps it whatever becomes of the bond.

--- Whether a bond would close a circle, or might: so many ancestors are looked at and no more. Who has invited nobody stands above nobody
--- and closes none, so most bonds are made without a look, however deep they lie. Bonds end by time and by hand only, so a circle that is
--- not there when its last bond is made never comes.
function bonds.circles(user, inviter, now)
  if not state.raw("inviters", user) then
    return false
  end
  local above = inviter
  for _ = 1, MOST_ANCESTORS do
    if above == user then
      return true
    end
    local bond = bonds.of(above, now)
    if not bond then
      return false
    end
    above = bond.inviter
  end
  return true
end

--- Until when a bond holds that is made now; nil: for ever.
function bonds.ends_at(now)
  local life = rules.get().expires_after
  return life and now + life or nil
end

--- Makes a bond in place of any there was; gives its packed row.
function bonds.make(user, inviter, now)
  if not state.raw("inviters", inviter) then
    state.put_raw("inviters", inviter, "1")
  end
  local expires_at = bonds.ends_at(now) or 0
  return state.put("bonds", user, { inviter = inviter, bound_at = now, expires_at = expires_at, version = rules.version() })
end
