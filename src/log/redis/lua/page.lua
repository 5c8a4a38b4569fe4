-- Entries of a stream from an id on, until there are enough, or more than so many bytes of them: one at least, if there
-- is one. Steps are short, so that little is taken from the stream that is not given out.
-- KEYS: log. ARGV: id, entries, bytes. Answers with how it ended, and the entries.
local log, from, count, left = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local page, step = {}, 1
while #page < count do
  step = math.min(step, count - #page)
  local found, bytes = redis.call('XRANGE', log, from, '+', 'COUNT', step), 1
  for _, entry in ipairs(found) do
    page[#page + 1] = entry
    local had = left
    for _, field in ipairs(entry[2]) do left = left - #field end
    if left < 0 then return {'cut', page} end
    bytes = bytes + had - left
  end
  if #found < step then return {'end', page} end
  from = '(' .. page[#page][1]
  step = math.max(1, math.min(2 * step, 8, math.floor(left * #found / bytes)))
end
return {'more', page}
