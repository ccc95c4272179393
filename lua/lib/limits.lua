--- Limits per shopper and per device, decided where they cannot race: in the op that takes the seat.

limits = {}

--- What counts against a shopper's limits now.
function limits.of(user)
  return state.get("users", user) or { orders = 0, opened = 0, joined = 0, unpaid = 0 }
end

--- Adds to a shopper's counters, e.g. { orders = 1, unpaid = 1 }.
function limits.count(user, changes)
  local row = limits.of(user)
  for label, change in pairs(changes) do
    row[label] = row[label] + change
    assert(row[label] >= 0, "limits: " .. label .. " of " .. user .. " fell below zero")
  end
  state.put("users", user, row)
end

--- Whether a shopper may act on a device: known there, or the device has room for one more.
function limits.device_allows(user, device, most)
  local row = state.get("devices", device)
  if not row or row.first == user or state.raw("devices", device .. "/" .. user) then
    return true
  end
  return row.users < most
end

--- Writes down that a shopper acted on a device. Never taken back, or one device could serve any number in turn.
function limits.meet_device(user, device)
  local row = state.get("devices", device)
  if not row then
    state.put("devices", device, { users = 1, first = user })
  elseif row.first ~= user and not state.raw("devices", device .. "/" .. user) then
    row.users = row.users + 1
    state.put("devices", device, row)
    state.put_raw("devices", device .. "/" .. user, "1")
  end
end
