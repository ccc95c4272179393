--- Units of a SKU in this campaign. put_in = left + held + sold + returned, and left is never below zero.

stock = {}

local function move(sku, units, from, to)
  local row = state.get("stock", sku)
  assert(row and units >= 0 and row[from] >= units, "stock: " .. sku .. " lacks " .. units .. " " .. from)
  row[from] = row[from] - units
  row[to] = row[to] + units
  state.put("stock", sku, row)
end

--- Whether that many units are left.
function stock.has(sku, units)
  local row = state.get("stock", sku)
  return row ~= nil and row.left >= units
end

--- A seat is taken: left to held. Ask `has` first.
function stock.hold(sku, units)
  move(sku, units, "left", "held")
end

--- A seat is given up: held to left.
function stock.release(sku, units)
  move(sku, units, "held", "left")
end

--- A seat is paid: held to sold.
function stock.sell(sku, units)
  move(sku, units, "held", "sold")
end

--- A paid seat is undone: sold to left.
function stock.unsell(sku, units)
  move(sku, units, "sold", "left")
end

--- The operator adds units, or takes back what is left (negative). False when fewer are left than asked back.
function stock.add(sku, units)
  local row = state.get("stock", sku) or { put_in = 0, left = 0, held = 0, sold = 0, returned = 0 }
  if row.left + units < 0 then
    return false
  end
  row.left = row.left + units
  if units < 0 then
    row.returned = row.returned - units
  else
    row.put_in = row.put_in + units
  end
  state.put("stock", sku, row)
  return true
end
