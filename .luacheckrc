-- The files of a program are joined into one chunk before Redis sees them (src/hot/program.rs), so a `local` of one file is
-- known to the files after it. These are the names that cross files.
std = "lua51"
max_line_length = 140
read_globals = { "redis", "cmsgpack", "struct", "KEYS", "ARGV" }
globals = { "schema", "state", "log", "timers", "stock", "limits", "rules", "budget", "orders", "seats", "members", "terms", "rooms", "schedules", "cuts", "chains", "bonds", "purse", "program", "ops", "due", "reply", "refuse", "fence" }
files["lua/lib/names.lua"] = { ignore = { "211", "221" } }
