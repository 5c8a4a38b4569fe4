-- Appends a batch. The first command that writes is the first XADD: what Redis refuses, it refuses there.
-- KEYS: log, meta. ARGV: clock, channel, instance, number, expects (any, present, a counter, or
-- = and a counter), ttl, grace, epoch
-- seen, counter and milliseconds seen, whether it heals, epoch if one begins, whether records are published, genesis
-- (if it may be needed), records…; before each of these its length, as it is published: four bytes.
-- This runs for every batch, and what Lua does around the commands costs more than they do, above all each text that
-- is made: texts stay what they are, and what is seldom needed is asked for when it is.
local log, meta = KEYS[1], KEYS[2]
local number, expects, seen, seen_ms = ARGV[4], ARGV[5], ARGV[9], ARGV[10]
local own = 'b:' .. ARGV[3]
local m = redis.call('HMGET', meta, 'v', 'e', 's', 't', 'n', 'x', own, 'd')
local epoch, head, t, stored = m[2], m[3] or '0', m[4] or '0', m[7]
local s, bytes_before = tonumber(head), tonumber(m[5] or '0')

if m[1] and m[1] ~= '1' then return {'newer', m[1]} end
if epoch and not (s and s > 0) then return {'damaged'} end
if not epoch then
  -- Records without what is known of them are a room that lost something; what others put there is not.
  local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  if first and first[2][1] == 'e' and string.sub(first[2][2] or '', 1, 4) == 'RUAR' then return {'metalost'} end
end

if stored then
  local last_number = string.match(stored, '^(%d+) %d+ %d+ %d+ %d$')
  if not last_number then return {'damaged'} end
  if not less(last_number, number) then
    if last_number ~= number then return {'older', last_number} end
    local first, last, ms, created = string.match(stored, '^%d+ (%d+) (%d+) (%d+) (%d)$')
    local genesis = false
    if created == '1' then
      local id = ms .. '-' .. text(tonumber(first) - 1)
      local found = redis.call('XRANGE', log, id, id)[1]
      genesis = found and found[2] or false
    end
    return {'again', first, last, ms, created, epoch, redis.call('HMGET', meta, 'f')[1] or '0', genesis}
  end
end

if expects == 'present' then
  if s == 0 then return {'expects', '0', '0'} end
elseif string.sub(expects, 1, 1) == '=' then
  if string.sub(expects, 2) ~= text(s) then return {'expects', text(s), '0'} end
elseif expects ~= 'any' then
  local deleted = redis.call('EXISTS', string.sub(meta, 1, -5) .. 'tomb')
  -- What heals a room was judged by the tombstone that it began with.
  if (deleted == 1 and ARGV[11] ~= '1') or expects ~= text(s) then return {'expects', text(s), text(deleted)} end
end

if ARGV[8] ~= '' and ARGV[8] ~= epoch then return {'epoch', epoch or ''} end
if not bytes_before then return {'damaged'} end
if head ~= seen or t ~= seen_ms then
  if head ~= text(s) or not string.find(t, '^%d+$') then return {'damaged'} end
  if less(head, seen) or head == seen then return {'behind', t .. '-' .. head} end
  -- A log that fell back and grew again.
  if seen ~= '0' and less(redis.call('HMGET', meta, 'f')[1] or '0', seen) then
    local id = seen_ms .. '-' .. seen
    if #redis.call('XRANGE', log, id, id) == 0 then return {'behind', t .. '-' .. head} end
  end
end

local now = clock(ARGV[1])
local ms, prev, created = now, t .. '-' .. head, s == 0
if less(ms, t) then ms = t end
local first_arg = created and 15 or 17

-- The first entry. Where somebody else has written, the time steps over that.
local begins, record, added = text(s + 1), ARGV[first_arg], nil
for try = 1, 2 do
  if created then
    added = redis.pcall('XADD', log, ms .. '-' .. begins, 'e', record)
  else
    added = redis.pcall('XADD', log, 'NOMKSTREAM', ms .. '-' .. begins, 'e', record)
  end
  if type(added) ~= 'table' then break end
  if try == 2 or not string.find(added.err or '', 'equal or smaller', 1, true) then return added end
  local info, top = redis.call('XINFO', 'STREAM', log), '0-0'
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then top = info[i + 1] end
  end
  local top_ms, top_seq = string.match(top, '^(%d+)%-(%d+)$')
  if less(ms, top_ms) then ms = top_ms end
  if ms == top_ms and not less(top_seq, begins) then
    if #ms > 15 then return {'fenced', top} end
    ms = text(tonumber(ms) + 1)
  end
end
if not added then return {'loglost'} end

local bytes, count, last = #record, (#ARGV - first_arg) / 2 + 1, begins
if count > 1 then
  local call, front = redis.call, ms .. '-'
  for i = 1, count - 1 do
    record, last = ARGV[first_arg + 2 * i], text(s + 1 + i)
    call('XADD', log, front .. last, 'e', record)
    bytes = bytes + #record
  end
end
local first = created and '2' or begins
local deadline = ARGV[6] ~= '' and plus(now, ARGV[6]) or ''
local mine = number .. ' ' .. first .. ' ' .. last .. ' ' .. ms .. (created and ' 1' or ' 0')
if deadline ~= '' then
  redis.call('HSET', meta, 's', last, 't', ms, 'n', text(bytes_before + bytes), own, mine, 'd', deadline)
else
  redis.call('HSET', meta, 's', last, 't', ms, 'n', text(bytes_before + bytes), own, mine)
  if m[8] then redis.call('HDEL', meta, 'd') end
end
if created or ARGV[11] == '1' then
  epoch = ARGV[12]
  redis.call('HSET', meta, 'v', '1', 'e', epoch)
end

-- Of the instances, those that appended last are remembered.
if not stored and not created then
  local all, known, oldest, oldest_seq = redis.call('HGETALL', meta), 0, nil, nil
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'b:' then
      known = known + 1
      local at = tonumber(string.match(all[i + 1], '^%d+ %d+ (%d+) ')) or 0
      if not oldest_seq or at < oldest_seq then oldest, oldest_seq = all[i], at end
    end
  end
  if known > 16 then redis.call('HDEL', meta, oldest) end
end

local ends = ending(m[6], deadline, now, ARGV[7])
if ends then
  -- include settle
  settle(log, meta, ends)
end

-- What others hear: a line, and the records, if they are not large. They find out by looking if they may not be told:
-- the batch is stored, and must not be called refused.
local said = '1 ' .. epoch .. ' ' .. prev .. ' ' .. ms .. '-' .. begins .. ' ' .. (count == 1 and '1' or text(count)) ..
  ' ' .. ARGV[3] .. ' ' .. number .. (created and ' 1 ' or ' 0 ') .. ARGV[13] .. '\n'
if ARGV[13] == '1' then
  ARGV[first_arg - 2] = said
  said = table.concat(ARGV, '', first_arg - 2)
end
local told = redis.pcall('SPUBLISH', ARGV[2], said)
local answer = 'stored ' .. first .. ' ' .. last .. ' ' .. ms .. (created and ' 1 ' or ' 0 ') .. epoch .. ' ' .. prev
if type(told) == 'table' then answer = answer .. ' ' .. (told.err or '?') end
return answer
