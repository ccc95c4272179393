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

-- Who has ever invited somebody has a row in `inviters`, "1", and keeps it whatever becomes of the bond. Row "grafted" of `def` says when
-- one of them was last bound: only then does a bond that stands get further ancestors.

--- How many ancestors somebody has who is bound to this inviter now; nil where the bond would close a circle or the tree would be deeper
--- than 64. A bond made since the last graft tells how many are above it, so whoever has invited nobody (stands above nobody, can close no
--- circle) asks the inviter's bond and looks no further up. Bonds end by time and by hand only: a circle that is not there when its last
--- bond is made never comes, and a bond tells too many rather than too few; then all are looked at.
function bonds.ancestors(user, inviter, now)
  local doubtful = state.raw("inviters", user) and now or tonumber(state.raw("def", "grafted") or 0)
  local ancestor = inviter
  for place = 1, MOST_ANCESTORS do
    if ancestor == user then
      return nil
    end
    local bond = bonds.of(ancestor, now)
    if not bond then
      return place
    elseif bond.bound_at > doubtful and place + bond.above <= MOST_ANCESTORS then
      return place + bond.above
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
  if state.raw("inviters", user) then
    state.put_raw("def", "grafted", string.format("%d", now))
  end
  local expires_at = bonds.ends_at(now) or 0
  return state.put("bonds", user, {
    inviter = inviter, bound_at = now, expires_at = expires_at, version = rules.version(), above = ancestors,
  })
end
