--- How an op answers.

ops = {} -- name -> function(op, now), answering reply(…) or refuse(…)

--- Yes. The payload is packed rows.
function reply(word, ...)
  return { 1, word, 0, 0, ... }
end

--- No; nothing of the op remains. The word is a problem code.
function refuse(word, ...)
  return { 0, word, 0, 0, ... }
end
