--- A chain of this item before its first cut.
local function fresh_chain(op, item, now)
  local definition = rules.get()
  return {
    state = "open", reserve = definition.reserve_at_start and 1 or 0, needed = definition.helpers, taken = 0, start = item.start,
    floor = item.floor, price = item.start, next = op.steps[1], started_at = now,
    expires_at = math.min(now + definition.chain_ttl, definition.ends_at), buy_by = 0, closed_at = 0, version = definition.version,
    sku = op.sku, user = op.user, order = "", commitment = op.commitment, cuts = "",
  }
end

--- Why this shopper may start no chain of the item, or nil.
local function barred(op)
  local most = rules.get().limits
  if not limits.device_allows(op.user, op.device, most.users_per_device) then
    return "device_limit_reached"
  elseif state.counters("people", op.user).started >= most.chains_per_user then
    return "chain_limit_reached"
  elseif not stock.has(op.sku, 1) then
    return "sold_out"
  end
  return nil
end

--- Start a chain, and take the owner's own steps of it. A repeat is recognised by the shopper's chain of that SKU that still stands, and
--- by the chain id when the caller sends the very same op again.
---
--- @arg   chain user device sku · curve (its number) steps (fen of each) seed (hex or "") commitment
--- @reply started chain id
--- @reply had chain id
--- @refuse not_found | campaign_not_live | campaign_ended | device_limit_reached | chain_limit_reached | sold_out
--- @event bargain.chain_started, bargain.cut, bargain.floor_reached
function ops.start_chain(op, now)
  local place = chains.place(op.user, op.sku)
  local own = state.raw("running", place)
  if own or state.raw("chains", op.chain) then
    own = own or op.chain
    assert(state.view("chains", own).user == op.user, "chains: an id of somebody else")
    return reply(own == op.chain and "started" or "had", state.raw("chains", own), own)
  end
  local definition = rules.get()
  local item = definition and definition.items[op.sku]
  local refusal = not item and "not_found" or rules.closed(now) or barred(op)
  if refusal then
    return refuse(refusal)
  end
  local chain = fresh_chain(op, item, now)
  schedules.keep(op.chain, op, item, definition.helpers)
  if chain.reserve == 1 then
    stock.hold(op.sku, 1)
  end
  local person = state.count("people", op.user)
  person.started = person.started + 1
  limits.meet_device(op.user, op.device)
  timers.at("chain", op.chain, chain.expires_at)
  state.put_raw("running", place, op.chain)
  log.emit("bargain.chain_started", { chain = op.chain })
  if definition.self_cuts > 0 then
    chains.cut(op.chain, chain, op.user, definition.self_cuts, now)
  end
  return reply("started", state.put("chains", op.chain, chain), op.chain)
end
