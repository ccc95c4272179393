--- Units of a SKU in this campaign. put_in = left + held + sold + returned, and left is never below zero.

stock = {}

local function move(sku, units, from, to)
  local row = state.count("stock", sku)
  row[from], row[to] = row[from] - units, row[to] + units
  if units < 0 or row[from] < 0 then
    error("stock: " .. sku .. " lacks " .. units .. " " .. from)
  end
end

--- Whether that many units are left.
function stock.has(sku, units)
  return state.counters("stock", sku).left >= units
end

--- How many units are left.
function stock.left(sku)
  return state.counters("stock", sku).left
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

-- The most units of a SKU at once, and ever put in: what a row's fields can count.
local MOST, EVER = 1000000000, 1000000000000

--- Whether that many units may be added.
function stock.takes(sku, units)
  local row = state.counters("stock", sku)
  return row.put_in - row.returned + units <= MOST and row.put_in + units <= EVER
end

--- The operator adds units, or takes back what is left (negative). False when fewer are left than asked back.
function stock.add(sku, units)
  if not stock.has(sku, -units) then
    return false
  end
  local row = state.count("stock", sku)
  row.left = row.left + units
  if units < 0 then
    row.returned = row.returned - units
  else
    row.put_in = row.put_in + units
  end
  return true
end

--- The packed row.
function stock.packed(sku)
  return schema.rows.stock.write(state.counters("stock", sku))
end
