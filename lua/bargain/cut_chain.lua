--- The helper's counters as of today.
local function helps_today(person, now)
  local day = timers.day(now)
  return day, person.day == day and person.today or 0
end

--- Why nobody may help this chain now, or nil.
local function shut(chain, now)
  if chain.state == "bought" or chain.state == "floor_reached" then
    return "chain_complete"
  elseif chain.state == "expired" or now >= chain.expires_at then
    return "chain_expired"
  end
  return rules.halted("join")
end

--- Why this shopper may not help now, or nil.
local function barred(op, now)
  local most, person = rules.get().limits, state.counters("people", op.user)
  local _, today = helps_today(person, now)
  if not limits.device_allows(op.user, op.device, most.users_per_device) then
    return "device_limit_reached"
  elseif person.helps >= most.helps_per_campaign or today >= most.helps_per_day then
    return "help_limit_reached"
  end
  return nil
end

--- Help a chain: take its next step, a newcomer the next few at once. A repeat is recognised by the cut that the shopper has in the chain,
--- even when the chain has ended. An ended campaign lets its open chains go on; one that is paused, or takes nobody, does not.
---
--- @arg   chain user device newcomer (whether the shopper is one)
--- @reply cut chain
--- @reply had chain
--- @refuse not_found | own_chain | chain_complete | chain_expired | campaign_not_live | device_limit_reached | help_limit_reached
--- @event bargain.cut, bargain.floor_reached
function ops.cut_chain(op, now)
  local chain = state.get("chains", op.chain)
  if not chain then
    return refuse("not_found")
  elseif chain.user == op.user then
    return refuse("own_chain")
  elseif cuts.has(chain.cuts, op.user) then
    return reply("had", state.raw("chains", op.chain))
  end
  local refusal = shut(chain, now) or barred(op, now)
  if refusal then
    return refuse(refusal)
  end
  local person = state.count("people", op.user)
  local day, today = helps_today(person, now)
  person.helps, person.day, person.today = person.helps + 1, day, today + 1
  limits.meet_device(op.user, op.device)
  local steps = op.newcomer and rules.get().newcomer_cuts or 1
  chains.cut(op.chain, chain, op.user, math.min(steps, chain.needed - chain.taken), now)
  return reply("cut", state.put("chains", op.chain, chain))
end
