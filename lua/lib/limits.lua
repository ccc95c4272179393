--- Limits per shopper and per device, decided where they cannot race: in the op that takes the seat.

limits = {}

--- What counts against a shopper's limits now, to look at.
function limits.of(user)
  return state.counters("users", user)
end

local function add(row, label, units, user)
  local sum = row[label] + units
  if sum < 0 then
    error("limits: " .. label .. " of " .. user .. " fell below zero")
  end
  row[label] = sum
end

--- Adds to one, two or three of a shopper's counters, e.g. `limits.count(user, 1, "orders", "unpaid")`.
function limits.count(user, units, first, second, third)
  local row = state.count("users", user)
  add(row, first, units, user)
  if second then
    add(row, second, units, user)
  end
  if third then
    add(row, third, units, user)
  end
end

-- A device's row is the first user seen on it, as plain text. When there are more, `/<device>` counts all, and each but the first has a
-- row `<device>/<user>`.

local function is_known(user, device, first)
  return first == user or state.raw("devices", device .. "/" .. user)
end

local function users_of(device)
  return tonumber(state.raw("devices", "/" .. device) or 1)
end

--- Whether a shopper may act on a device: known there, or the device has room for one more.
function limits.device_allows(user, device, most)
  local first = state.raw("devices", device)
  return not first or is_known(user, device, first) or users_of(device) < most
end

--- Writes down that a shopper acted on a device. Never taken back, or one device could serve any number in turn.
function limits.meet_device(user, device)
  local first = state.raw("devices", device)
  if not first then
    state.put_raw("devices", device, user)
  elseif not is_known(user, device, first) then
    state.put_raw("devices", "/" .. device, string.format("%d", users_of(device) + 1))
    state.put_raw("devices", device .. "/" .. user, "1")
  end
end
