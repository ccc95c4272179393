--- The rows, and how each is packed. Rust reads the same (`src/*/row.rs`; a test compares).
---
--- No field is ever nil: absent is 0 or "". A table is one Redis key, `{<campaign>}:<table>`; `timers` and `joinable` are sorted sets, the
--- others hashes. Tables without an entry here hold plain text.
---
--- What changes with every order is laid out by `struct`, big-endian, texts with their length before them: a third as dear as
--- MessagePack and smaller. Fen take five bytes, times (Unix ms) six, versions three. The rest is MessagePack arrays.

local lay_out, read_off = struct.pack, struct.unpack

local STOCK = ">I5I5I5I5I5"
local ROOM = ">BBBBI5I6I6I6I3Bc0"
local ORDER = ">BBI2I5I6I5I3Bc0Bc0Bc0"
local CHAIN = ">BBBI5I5I5I5I6I6I6I6I3Bc0Bc0Bc0Bc0"
local BOND = ">I6I6I3BBc0"
local SALE = ">BBI5I5I5I5I6I6I6I3Bc0Bc0Bc0"
local SPENT = ">I7I4I7"

--- Words by their number, and numbers by their word.
local function words(...)
  local list = { ... }
  for number, word in ipairs(list) do
    list[word] = number
  end
  return list
end

local ROOM_STATES = words("open", "formed", "failed")
local CHAIN_STATES = words("open", "floor_reached", "bought", "expired")
local ORDER_STATES = words("held", "closing", "paid", "confirmed", "fulfilled", "released", "refund_due", "refunded")
local REWARD_STATES = words("none", "frozen", "available", "over_budget", "over_daily_budget")

schema = {
  sorted = { timers = true, joinable = true },

  -- tables of small rows that lie together (`lua/lib/state.lua`): all bytes of a row are below 128
  shelved = { users = true, devices = true },

  -- argument of an op -> the tables that it names a row of, as far as the program has them
  named = {
    room = { "rooms" }, order = { "orders" }, chain = { "chains", "schedules" }, user = { "users", "people", "bonds", "inviters" },
    device = { "devices" }, inviter = { "inviters", "bonds" }, sale = { "sales" }, key = { "keys" },
  },

  rows = {
    -- field "status" (beside it lie "rules", packed, and "grafted", text: `lua/referral/bonds.lua`)
    -- paused_by: "" unless paused, else operator or loss_budget; open, join: the switches, 1 or 0; loss: fen,
    -- counted under a loss budget only
    def = {
      read = function(packed)
        local row = cmsgpack.unpack(packed)
        return {
          status = row[1], version = row[2], rooms_open = row[3], rooms_formed = row[4], rooms_failed = row[5], paused_by = row[6],
          open = row[7], join = row[8], loss = row[9],
        }
      end,
      write = function(row)
        return cmsgpack.pack({
          row.status, row.version, row.rooms_open, row.rooms_formed, row.rooms_failed, row.paused_by, row.open, row.join, row.loss,
        })
      end,
    },

    -- field: sku; counters; put_in = left + held + sold + returned
    stock = {
      none = function()
        return { put_in = 0, left = 0, held = 0, sold = 0, returned = 0 }
      end,
      read = function(packed)
        local put_in, left, held, sold, returned = read_off(STOCK, packed)
        return { put_in = put_in, left = left, held = held, sold = sold, returned = returned }
      end,
      write = function(row)
        return lay_out(STOCK, row.put_in, row.left, row.held, row.sold, row.returned)
      end,
    },

    -- field: room; size, price: seats, and what each member pays for a unit; taken, paid: how many seats; reserve: 1 if units are kept for
    -- free seats; members: the seats (`lua/group_buy/members.lua`); terms: when it forms (`lua/group_buy/terms.lua`), not written when ""
    rooms = {
      read = function(packed)
        local marks, size, taken, paid, price, opened_at, expires_at, closed_at, version, sku, after = read_off(ROOM, packed)
        local terms_text = ""
        if marks >= 8 then
          terms_text, after = read_off("Bc0", packed, after)
        end
        return {
          state = ROOM_STATES[marks % 4], reserve = marks % 8 >= 4 and 1 or 0, size = size, taken = taken, paid = paid, price = price,
          opened_at = opened_at, expires_at = expires_at, closed_at = closed_at, version = version, sku = sku, terms = terms_text,
          members = string.sub(packed, after),
        }
      end,
      write = function(row)
        local text = row.terms
        return lay_out(
          ROOM, ROOM_STATES[row.state] + 4 * row.reserve + (text ~= "" and 8 or 0), row.size, row.taken, row.paid, row.price,
          row.opened_at, row.expires_at, row.closed_at, row.version, #row.sku, row.sku
        ) .. (text ~= "" and lay_out("Bc0", #text, text) or "") .. row.members
      end,
    },

    -- field: order; room, chain: the one it belongs to, "" for none; opener: 1 if it opened its room; asked: 1 when its payment was
    -- asked for; newcomer: 1 if its buyer must be one when it is paid; hold: ms from placing to `pay_by`. Once money or a
    -- reason is to be told, a MessagePack array follows: transactions: every payment number seen for it, settled: the one that
    -- pays it; refunds: a list of { fen, 1 when executed }, whose place is the number of the refund
    orders = {
      read = function(packed)
        local state_number, marks, quantity, unit, created_at, hold, version, sku, user, target, after = read_off(ORDER, packed)
        local money = after <= #packed and cmsgpack.unpack(string.sub(packed, after)) or { "", 0, 0, 0, "", {}, {} }
        return {
          state = ORDER_STATES[state_number], opener = marks % 2, asked = marks % 4 >= 2 and 1 or 0, newcomer = marks % 8 >= 4 and 1 or 0,
          quantity = quantity, unit = unit, created_at = created_at, pay_by = created_at + hold, version = version, sku = sku,
          user = user, room = marks < 8 and target or "", chain = marks >= 8 and target or "", reason = money[1], paid_at = money[2],
          paid = money[3], refunded = money[4], settled = money[5],
          transactions = money[6], refunds = money[7],
        }
      end,
      write = function(row)
        local of_chain = row.chain ~= ""
        local target = of_chain and row.chain or row.room
        local marks = row.opener + 2 * row.asked + 4 * row.newcomer + (of_chain and 8 or 0)
        local placed = lay_out(
          ORDER, ORDER_STATES[row.state], marks, row.quantity, row.unit, row.created_at,
          row.pay_by - row.created_at, row.version, #row.sku, row.sku, #row.user, row.user, #target, target
        )
        if row.reason == "" and not row.transactions[1] then
          return placed
        end
        return placed .. cmsgpack.pack({
          row.reason, row.paid_at, row.paid, row.refunded, row.settled, row.transactions, row.refunds,
        })
      end,
    },

    -- field: user; counters of what counts against the limits of one shopper, a byte each, as text from 128 on; `orders` is never less
    -- than another
    users = {
      none = function()
        return { orders = 0, opened = 0, joined = 0, unpaid = 0 }
      end,
      read = function(packed)
        local orders, opened, joined, unpaid = string.byte(packed, 1, 4)
        if #packed > 4 then
          orders, opened, joined, unpaid = string.match(packed, "^(%d+) (%d+) (%d+) (%d+)$")
        end
        return { orders = tonumber(orders), opened = tonumber(opened), joined = tonumber(joined), unpaid = tonumber(unpaid) }
      end,
      write = function(row)
        local orders, opened, joined, unpaid = row.orders, row.opened, row.joined, row.unpaid
        if orders < 128 then
          return string.char(orders, opened, joined, unpaid)
        end
        return string.format("%d %d %d %d", orders, opened, joined, unpaid)
      end,
    },

    -- field: chain; needed, taken: steps; start, floor, price, next: fen, `next` is what the next step takes off, 0 after the last;
    -- reserve: 1 if a unit is kept for it; buy_by: 0 before the floor is reached; order: the one that waits for its payment or has
    -- bought, "" for none; cuts: who took which steps (`lua/bargain/cuts.lua`)
    chains = {
      read = function(packed)
        local marks, needed, taken, start, floor, price, next_fen, started_at, expires_at, buy_by, closed_at, version, sku, user, order,
          commitment, after = read_off(CHAIN, packed)
        return {
          state = CHAIN_STATES[marks % 8], reserve = marks >= 8 and 1 or 0, needed = needed, taken = taken, start = start, floor = floor,
          price = price, next = next_fen, started_at = started_at, expires_at = expires_at, buy_by = buy_by, closed_at = closed_at,
          version = version, sku = sku, user = user, order = order, commitment = commitment, cuts = string.sub(packed, after),
        }
      end,
      write = function(row)
        return lay_out(
          CHAIN, CHAIN_STATES[row.state] + 8 * row.reserve, row.needed, row.taken, row.start, row.floor, row.price, row.next,
          row.started_at, row.expires_at, row.buy_by, row.closed_at, row.version, #row.sku, row.sku, #row.user, row.user,
          #row.order, row.order, #row.commitment, row.commitment
        ) .. row.cuts
      end,
    },

    -- field: user; counters of what counts against the limits of one shopper in a bargain: chains started, helps in all, and helps on
    -- the last day (UTC+8, days since 1970) on which there was one
    people = {
      none = function()
        return { started = 0, helps = 0, day = 0, today = 0 }
      end,
      read = function(packed)
        local started, helps, day, today = read_off(">I4I4I4I4", packed)
        return { started = started, helps = helps, day = day, today = today }
      end,
      write = function(row)
        return lay_out(">I4I4I4I4", row.started, row.helps, row.day, row.today)
      end,
    },

    -- field: the invited user; expires_at: 0 for never; version: of the definition it was made under; above: ancestors when it was made
    bonds = {
      read = function(packed)
        local bound_at, expires_at, version, above, inviter = read_off(BOND, packed)
        return { bound_at = bound_at, expires_at = expires_at, version = version, above = above, inviter = inviter }
      end,
      write = function(row)
        return lay_out(BOND, row.bound_at, row.expires_at, row.version, row.above, #row.inviter, row.inviter)
      end,
    },

    -- field: number of the sale; level1, level2: what each level earns of it: fen as granted, back: what of it went back again, user: ""
    -- and state `none` for a level that earns nothing; freeze: ms from fulfilment until it is available; fulfilled_at: 0 before
    sales = {
      read = function(packed)
        local state1, state2, fen1, back1, fen2, back2, reported_at, fulfilled_at, freeze, version, buyer, user1, user2 =
          read_off(SALE, packed)
        return {
          level1 = { state = REWARD_STATES[state1], user = user1, fen = fen1, back = back1 },
          level2 = { state = REWARD_STATES[state2], user = user2, fen = fen2, back = back2 },
          reported_at = reported_at, fulfilled_at = fulfilled_at, freeze = freeze, version = version, buyer = buyer,
        }
      end,
      write = function(row)
        local level1, level2 = row.level1, row.level2
        return lay_out(
          SALE, REWARD_STATES[level1.state], REWARD_STATES[level2.state], level1.fen, level1.back, level2.fen, level2.back,
          row.reported_at, row.fulfilled_at, row.freeze, row.version, #row.buyer, row.buyer, #level1.user, level1.user,
          #level2.user, level2.user
        )
      end,
    },

    -- one row, field "rewards": fen granted and not gone back; day, today: the last day (UTC+8, since 1970) on which some were granted,
    -- and how many fen on it, whatever went back
    spent = {
      none = function()
        return { total = 0, day = 0, today = 0 }
      end,
      read = function(packed)
        local total, day, today = read_off(SPENT, packed)
        return { total = total, day = day, today = today }
      end,
      write = function(row)
        return lay_out(SPENT, row.total, row.day, row.today)
      end,
    },

    -- field: scope of an Idempotency-Key
    keys = {
      read = function(packed)
        local row = cmsgpack.unpack(packed)
        return { body = row[1], answer = row[2] }
      end,
      write = function(row)
        return cmsgpack.pack({ row.body, row.answer })
      end,
    },
  },
}
