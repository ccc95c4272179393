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

--- Adds to one of the room counters.
function rules.count(label, change)
  local row = state.get("def", "status")
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
