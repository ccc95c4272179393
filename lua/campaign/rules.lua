--- The campaign's rules as published (a packed map that the operator's definition was compiled into) and its status.

rules = {}

local compiled -- what the definition in force says

--- The fold begins.
function rules.begin()
  local packed = state.raw("def", "rules")
  compiled = packed and cmsgpack.unpack(packed) or nil
end

--- The compiled definition, or nil before it is published.
function rules.get()
  return compiled
end

--- Puts a definition in force.
function rules.put(definition)
  state.put_raw("def", "rules", cmsgpack.pack(definition))
  compiled = definition
end

--- The version that decisions are made under; 0 before the first.
function rules.version()
  return compiled and compiled.version or 0
end

--- Status and room counters, to look at.
function rules.status()
  return state.view("def", "status")
end

--- Sets the status, and who paused if it is `paused`, else "". `by` is the operator's key, nil when nobody asked for it.
function rules.set_status(to, paused_by, by)
  local row = state.get("def", "status")
  local was = by and { status = row.status } or nil
  row.status, row.paused_by = to, paused_by
  log.emit("campaign.status", { status = to, paused_by = paused_by, by = by, was = was })
  return state.put("def", "status", row)
end

--- Adds to one of the counters.
function rules.count(label, change)
  local row = state.get("def", "status")
  row[label] = row[label] + change
  state.put("def", "status", row)
end

--- Why nothing passes that switch (`open` or `join`) now, or nil: paused by an operator or switched off (campaign_not_live), paused because
--- the loss budget is used up (budget_exhausted).
function rules.halted(switch)
  local row = rules.status()
  if row.status == "paused" then
    return row.paused_by == "loss_budget" and "budget_exhausted" or "campaign_not_live"
  elseif row[switch] == 0 then
    return "campaign_not_live"
  end
  return nil
end

--- Why nothing new may begin now, or nil: not started (campaign_not_live); over (campaign_ended); what `halted` says of the switch, `open`
--- unless told otherwise.
function rules.closed(now, switch)
  local definition, row = rules.get(), rules.status()
  if not definition then
    return "not_found"
  elseif row.status == "ended" or now >= definition.ends_at then
    return "campaign_ended"
  elseif now < definition.starts_at then
    return "campaign_not_live"
  end
  return rules.halted(switch or "open")
end
