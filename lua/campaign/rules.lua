--- The campaign's rules as published (a packed map that the operator's definition was compiled into) and its status.

rules = {}

local source, compiled = false, nil -- the packed definition last seen, and what it says

--- The compiled definition, or nil before it is published.
function rules.get()
  local packed = state.raw("def", "rules")
  if packed ~= source then
    source, compiled = packed, packed and cmsgpack.unpack(packed) or nil
  end
  return compiled
end

--- Puts a definition in force.
function rules.put(definition)
  state.put_raw("def", "rules", cmsgpack.pack(definition))
end

--- The version that decisions are made under; 0 before the first.
function rules.version()
  local definition = rules.get()
  return definition and definition.version or 0
end

--- Status and room counters.
function rules.status()
  return state.get("def", "status")
end

--- Adds to one of the room counters.
function rules.count(label, change)
  local row = rules.status()
  row[label] = row[label] + change
  state.put("def", "status", row)
end

--- Why nothing new may begin now, or nil: not started, paused (campaign_not_live); over (campaign_ended).
function rules.closed(now)
  local definition, row = rules.get(), rules.status()
  if not definition then
    return "not_found"
  elseif row.status == "ended" or now >= definition.ends_at then
    return "campaign_ended"
  elseif row.status == "paused" or now < definition.starts_at then
    return "campaign_not_live"
  end
  return nil
end
