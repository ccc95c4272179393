--- What operators do to a campaign as a whole, and time passing.

--- Put a definition in force. A repeat is recognised by its version.
---
--- @arg   definition (compiled rules with `version`), stock (list of { sku, units }, taken at the first version only)
--- @reply published status
--- @refuse campaign_state (a newer version is in force, or the campaign is over)
--- @event campaign.published
function ops.publish(op)
  local row, version = state.get("def", "status"), rules.version()
  if op.definition.version < version then
    return refuse("campaign_state")
  elseif op.definition.version > version then
    if row and row.status == "ended" then
      return refuse("campaign_state")
    elseif not row then
      row = { status = "live", version = 0, rooms_open = 0, rooms_formed = 0, rooms_failed = 0 }
      for _, units in ipairs(op.stock) do
        stock.add(units[1], units[2])
      end
    end
    row.version = op.definition.version
    rules.put(op.definition)
    state.put("def", "status", row)
    timers.at("campaign", string.format("%d", row.version), op.definition.ends_at)
    log.emit("campaign.published", { version = row.version })
  end
  return reply("published", state.raw("def", "status"))
end

local STEPS = {
  pause = { from = { live = true }, to = "paused" },
  resume = { from = { paused = true }, to = "live" },
  ["end"] = { from = { live = true, paused = true }, to = "ended" },
}

local function set_status(to)
  local row = state.get("def", "status")
  row.status = to
  log.emit("campaign.status", { status = to })
  return state.put("def", "status", row)
end

--- Pause, resume or end. A repeat is recognised by the status it already has.
---
--- @arg   step (pause, resume, end)
--- @reply status status
--- @refuse campaign_state
--- @event campaign.status
function ops.set_status(op)
  local row, step = rules.status(), STEPS[op.step]
  if not row then
    return refuse("campaign_state")
  elseif row.status == step.to then
    return reply("status", state.raw("def", "status"))
  elseif not step.from[row.status] then
    return refuse("campaign_state")
  end
  return reply("status", set_status(step.to))
end

--- The end of the campaign's time: nothing new begins, open rooms were given deadlines before it.
function due.campaign(_, now)
  if rules.status().status ~= "ended" and now >= rules.get().ends_at then
    set_status("ended")
  end
end

--- Add units, or take back unreserved ones (negative). Each call adds; a repeat is recognised by its Idempotency-Key.
---
--- @arg   sku units
--- @reply stock stock
--- @refuse not_found | sold_out (fewer are left than asked back) | campaign_state
--- @event campaign.stock
function ops.add_stock(op)
  if not rules.get() then
    return refuse("campaign_state")
  elseif not rules.get().items[op.sku] then
    return refuse("not_found")
  elseif not stock.add(op.sku, op.units) then
    return refuse("sold_out")
  end
  log.emit("campaign.stock", { sku = op.sku, units = op.units })
  return reply("stock", stock.packed(op.sku))
end

--- Let time pass: fires the timers that are due. A repeat finds nothing due.
---
--- @reply ticked
function ops.tick(_, now)
  timers.fire(now)
  return reply("ticked")
end
