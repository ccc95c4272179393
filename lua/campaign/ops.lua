--- What operators do to a campaign as a whole, and time passing.

--- Put a definition in force. A repeat is recognised by its version.
---
--- @arg   definition (compiled rules with `version`), stock (list of { sku, units }, taken at the first version only)
--- @reply published status
--- @refuse campaign_state (a newer version is in force, or the campaign is over)
--- @event campaign.published, campaign.status (a loss budget that was raised ends its pause)
function ops.publish(op)
  local row, version = state.get("def", "status"), rules.version()
  if op.definition.version < version then
    return refuse("campaign_state")
  elseif op.definition.version > version then
    if row and row.status == "ended" then
      return refuse("campaign_state")
    elseif not row then
      row = {
        status = "live", version = 0, rooms_open = 0, rooms_formed = 0, rooms_failed = 0, paused_by = "", open = 1, join = 1, loss = 0,
      }
      for _, units in ipairs(op.stock) do
        stock.add(units[1], units[2])
      end
    end
    row.version = op.definition.version
    rules.put(op.definition)
    state.put("def", "status", row)
    timers.at("campaign", string.format("%d", row.version), op.definition.ends_at)
    log.emit("campaign.published", { version = row.version })
    budget.review()
  end
  return reply("published", state.raw("def", "status"))
end

local STEPS = {
  pause = { from = { live = true, paused = true }, to = "paused" },
  resume = { from = { paused = true }, to = "live" },
  ["end"] = { from = { live = true, paused = true }, to = "ended" },
}

--- Pause, resume or end. A repeat is recognised by the status it already has; a pause by the budget becomes the operator's own.
---
--- @arg   step (pause, resume, end) by (operator key)
--- @reply status status
--- @refuse campaign_state | budget_exhausted (a resume while no order fits into the loss budget)
--- @event campaign.status
function ops.set_status(op)
  local row, step = rules.status(), STEPS[op.step]
  if not row then
    return refuse("campaign_state")
  elseif row.status == step.to and row.paused_by ~= "loss_budget" then
    return reply("status", state.raw("def", "status"))
  elseif not step.from[row.status] then
    return refuse("campaign_state")
  elseif op.step == "resume" and not budget.fits_any() then
    return refuse("budget_exhausted")
  end
  return reply("status", rules.set_status(step.to, op.step == "pause" and "operator" or "", op.by))
end

--- Switch the opening of rooms, or joining, on or off. A repeat is recognised by the switches it finds.
---
--- @arg   open join (true, false, or absent: stays) by (operator key)
--- @reply switches status
--- @refuse campaign_state (never published)
--- @event campaign.switches
function ops.set_switches(op)
  local row = state.get("def", "status")
  if not row then
    return refuse("campaign_state")
  end
  local was = { open = row.open == 1, join = row.join == 1 }
  for name, on in pairs(was) do
    if op[name] ~= nil and op[name] ~= on then
      row[name] = op[name] and 1 or 0
    end
  end
  local open, join = row.open == 1, row.join == 1
  if open ~= was.open or join ~= was.join then
    state.put("def", "status", row)
    log.emit("campaign.switches", { open = open, join = join, by = op.by, was = op.by and was or nil })
  end
  return reply("switches", state.raw("def", "status"))
end

--- The end of the campaign's time: nothing new begins, open rooms were given deadlines before it.
function due.campaign(_, now)
  if rules.status().status ~= "ended" and now >= rules.get().ends_at then
    rules.set_status("ended", "")
  end
end

--- Add units, or take back unreserved ones (negative). Each call adds; a repeat is recognised by its Idempotency-Key.
---
--- @arg   sku units by (operator key)
--- @reply stock stock
--- @refuse not_found | sold_out (fewer are left than asked back) | campaign_state | invalid_request (more than a SKU may have)
--- @event campaign.stock
function ops.add_stock(op)
  if not rules.get() then
    return refuse("campaign_state")
  elseif not rules.get().items[op.sku] then
    return refuse("not_found")
  elseif not stock.takes(op.sku, op.units) then
    return refuse("invalid_request")
  end
  local was = op.by and { left = stock.left(op.sku) } or nil
  if not stock.add(op.sku, op.units) then
    return refuse("sold_out")
  end
  log.emit("campaign.stock", { sku = op.sku, units = op.units, left = stock.left(op.sku), by = op.by, was = was })
  return reply("stock", stock.packed(op.sku))
end

--- Say no for a reason that was found before the program was asked, so that its Idempotency-Key remembers it. Changes nothing; a repeat is
--- recognised by its key.
---
--- @arg   word (the refusal)
--- @reply (nothing: it always refuses)
--- @refuse (the word)
function ops.decline(op)
  return refuse(op.word)
end

--- Let time pass: fires the timers that are due. A repeat finds nothing due.
---
--- @reply ticked
function ops.tick(_, now)
  timers.fire(now)
  return reply("ticked")
end
