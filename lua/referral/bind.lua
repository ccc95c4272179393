--- Why a living bond to somebody else stays: the first touch holds, or the last one is protected still.
local function stays(bond, now)
  local definition = rules.get()
  return definition.first_touch or now < bond.bound_at + (definition.protected or 0)
end

--- Why this shopper may not be bound now; or nil, and how many ancestors the bond has.
local function barred(op, bond, now)
  if rules.get().newcomers_only and not op.newcomer then
    return "newcomers_only"
  elseif bond and stays(bond, now) then
    return "already_bound"
  end
  local ancestors = bonds.ancestors(op.user, op.inviter, now)
  if not ancestors then
    return "bond_cycle"
  elseif not purse.has_any() then
    return "budget_exhausted"
  end
  return nil, ancestors
end

--- Bind a shopper to whoever invited them. A repeat is recognised by the living bond to the same inviter, also when the campaign takes
--- nobody any more.
---
--- @arg   user inviter newcomer (whether the user is one)
--- @reply bound bond
--- @reply had bond
--- @refuse self_invite | not_found | campaign_not_live | campaign_ended | newcomers_only | already_bound | bond_cycle | budget_exhausted
--- @event referral.bound
function ops.bind(op, now)
  if op.user == op.inviter then
    return refuse("self_invite")
  end
  local bond = bonds.of(op.user, now)
  if bond and bond.inviter == op.inviter then
    return reply("had", state.raw("bonds", op.user))
  end
  local closed = rules.closed(now, "join")
  if closed then
    return refuse(closed)
  end
  local refusal, ancestors = barred(op, bond, now)
  if refusal then
    return refuse(refusal)
  end
  local previous = bond and bond.inviter or nil
  log.emit("referral.bound", { user = op.user, inviter = op.inviter, previous = previous, expires_at = bonds.ends_at(now) })
  return reply("bound", bonds.make(op.user, op.inviter, ancestors, now))
end

--- An operator ties a bond anew, or cuts it: neither touch, protection, newcomers' rule nor budget is looked at. What was attributed goes
--- on. A repeat is recognised by what it finds.
---
--- @arg   user inviter ("" for none) by (operator key) reason
--- @reply bound bond
--- @reply unbound
--- @reply had bond | nothing
--- @refuse campaign_state (never published) | self_invite | bond_cycle
--- @event referral.bound | referral.unbound
function ops.set_bond(op, now)
  if not rules.get() then
    return refuse("campaign_state")
  elseif op.user == op.inviter then
    return refuse("self_invite")
  end
  local bond = bonds.of(op.user, now)
  local previous = bond and bond.inviter or ""
  if previous == op.inviter then
    return reply("had", bond and state.raw("bonds", op.user) or nil)
  end
  local told = { user = op.user, by = op.by, reason = op.reason, was = { inviter = previous } }
  if bond then
    told.previous = previous
  end
  if op.inviter == "" then
    state.del("bonds", op.user)
    log.emit("referral.unbound", told)
    return reply("unbound")
  end
  local ancestors = bonds.ancestors(op.user, op.inviter, now)
  if not ancestors then
    return refuse("bond_cycle")
  end
  told.inviter, told.expires_at = op.inviter, bonds.ends_at(now)
  log.emit("referral.bound", told)
  return reply("bound", bonds.make(op.user, op.inviter, ancestors, now))
end
