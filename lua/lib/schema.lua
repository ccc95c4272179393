--- The rows: each table's fields in the order in which they are packed. Rust reads the same order (`src/*/row.rs`; a test compares).
---
--- A row is a MessagePack array; no field is ever nil (absent is 0 or ""). Tables without an entry here hold plain text.
--- A table is one Redis key, `{<campaign>}:<table>`; `timers` and `joinable` are sorted sets, the others hashes.

schema = {
  sorted = { timers = true, joinable = true },
  fields = {
    -- one row, field "status"
    def = { "status", "version", "rooms_open", "rooms_formed", "rooms_failed" },
    -- field: sku; put_in = left + held + sold + returned
    stock = { "put_in", "left", "held", "sold", "returned" },
    -- field: room; members is a list of { user, order, paid (1) or held (0) } in the order of joining
    rooms = { "state", "sku", "size", "price", "leader", "expires_at", "opened_at", "closed_at", "version", "members" },
    -- field: order; opener: 1 if it opened its room; transactions: every payment number seen for it, settled: the one that pays it;
    -- refunds: a list of { fen, 1 when executed }, a refund's number is its place
    orders = {
      "state", "sku", "quantity", "user", "device", "room", "opener", "unit", "amount", "paid", "refunded", "created_at", "pay_by",
      "paid_at", "asked", "reason", "version", "settled", "transactions", "refunds",
    },
    -- field: user; what counts against the limits of one shopper
    users = { "orders", "opened", "joined", "unpaid" },
    -- field: device, then device/user for every user after the first
    devices = { "users", "first" },
    -- field: scope of an Idempotency-Key
    keys = { "body", "answer" },
  },
}
