--- How an op answers.

ops = {} -- name -> function(op, now), ending with `return reply(…)` or, as long as it has changed nothing, `return refuse(…)`

--- Yes, with up to two packed rows.
function reply(word, first, second)
  return 1, word, first, second
end

--- No; nothing of the op remains. The word is a problem code; another room may come with it, packed.
function refuse(word, first)
  return 0, word, first
end
