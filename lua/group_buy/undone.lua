--- A paid order of a room was undone by an operator. In an open room its seat is free again, as if it had been given up, and the room goes
--- on; one that has formed or failed never changes.
function program.undone(order_id, order, now)
  local room = order.room ~= "" and state.get("rooms", order.room)
  if room and room.state == "open" then
    room.paid = room.paid - 1
    state.put("rooms", order.room, room)
    program.released(order_id, order, now)
  elseif room then
    limits.count(order.user, -1, order.opener == 1 and "opened" or "joined")
  end
end
