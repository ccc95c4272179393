--- The names that the files of a program share: Redis refuses globals, so they are locals of the one chunk that the files are joined to.
local schema, state, fence, log, timers, due, stock, limits, ops, reply, refuse, rules, budget, program, orders, members
local terms, rooms, seats, schedules, cuts, chains, bonds, purse
