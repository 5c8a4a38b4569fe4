-- Appends a batch. The first command that writes is the first XADD: what Redis refuses, it refuses there.
-- KEYS: log, meta. ARGV: clock, key prefix, instance, number, expects (any, present, a counter, or = and a counter), ttl, grace,
-- epoch seen, counter and milliseconds seen, whether it heals, epoch if one begins, bytes to publish at most,
-- genesis, records…
local log, meta = KEYS[1], KEYS[2]
local prefix, instance, number, expects = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local m = redis.call('HMGET', meta, 'v', 'e', 's', 't', 'n', 'x', 'k', 'b:' .. instance, 'd', 'f')
local epoch, s, t = m[2], tonumber(m[3] or '0'), m[4] or '0'
local stored = m[8]

if m[1] and m[1] ~= '1' then return {'newer', m[1]} end
if epoch and not (s and s > 0) then return {'damaged'} end
if not epoch then
  -- Records without what is known of them are a room that lost something; what others put there is not.
  local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  if first and first[2][1] == 'e' and string.sub(first[2][2] or '', 1, 4) == 'RUAR' then return {'metalost'} end
end

if stored then
  local last_number, first, last, ms, created = string.match(stored, '^(%d+) (%d+) (%d+) (%d+) (%d)$')
  if not last_number then return {'damaged'} end
  if not less(last_number, number) then
    if last_number ~= number then return {'older', last_number} end
    local genesis = false
    if created == '1' then
      local id = ms .. '-' .. text(tonumber(first) - 1)
      local found = redis.call('XRANGE', log, id, id)[1]
      genesis = found and found[2] or false
    end
    return {'again', first, last, ms, created, epoch, m[10] or '0', genesis}
  end
end

if expects == 'present' and s == 0 then return {'expects', '0', '0'} end
if string.sub(expects, 1, 1) == '=' then
  if string.sub(expects, 2) ~= text(s) then return {'expects', text(s), '0'} end
elseif expects ~= 'any' and expects ~= 'present' then
  local deleted = redis.call('EXISTS', prefix .. 'tomb')
  -- What heals a room was judged by the tombstone that it began with.
  if (deleted == 1 and ARGV[11] ~= '1') or expects ~= text(s) then return {'expects', text(s), text(deleted)} end
end

if ARGV[8] ~= '' and ARGV[8] ~= epoch then return {'epoch', epoch or ''} end
if less(text(s), ARGV[9]) or (text(s) == ARGV[9] and t ~= ARGV[10]) then return {'behind', t .. '-' .. text(s)} end
-- A log that fell back and grew again.
if ARGV[9] ~= '0' and less(ARGV[9], text(s)) and less(m[10] or '0', ARGV[9]) then
  local seen = ARGV[10] .. '-' .. ARGV[9]
  if #redis.call('XRANGE', log, seen, seen) == 0 then return {'behind', t .. '-' .. text(s)} end
end

local now = clock(ARGV[1])
local ms = now
if less(ms, t) then ms = t end
local prev = t .. '-' .. text(s)
local created = s == 0
local first_arg = created and 14 or 15

-- The first entry. Where somebody else has written, the time steps over that.
local function first_entry()
  if created then return redis.pcall('XADD', log, ms .. '-1', 'e', ARGV[14]) end
  return redis.pcall('XADD', log, 'NOMKSTREAM', ms .. '-' .. text(s + 1), 'e', ARGV[15])
end
local added = first_entry()
if type(added) == 'table' and string.find(added.err or '', 'equal or smaller', 1, true) then
  local info, top = redis.call('XINFO', 'STREAM', log), '0-0'
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then top = info[i + 1] end
  end
  local top_ms, top_seq = string.match(top, '^(%d+)%-(%d+)$')
  if less(ms, top_ms) then ms = top_ms end
  if ms == top_ms and not less(top_seq, text(s + 1)) then
    if #ms > 15 then return {'fenced', top} end
    ms = text(tonumber(ms) + 1)
  end
  added = first_entry()
end
if type(added) == 'table' then return added end
if not added then return {'loglost'} end

local bytes, head = #ARGV[first_arg], s + 1
for i = first_arg + 1, #ARGV do
  head = head + 1
  redis.call('XADD', log, ms .. '-' .. text(head), 'e', ARGV[i])
  bytes = bytes + #ARGV[i]
end
local first = text(created and 2 or s + 1)
local deadline = ARGV[6] ~= '' and plus(now, ARGV[6]) or ''
local fields = {
  's', text(head), 't', ms, 'n', text(tonumber(m[5] or '0') + bytes),
  'b:' .. instance, number .. ' ' .. first .. ' ' .. text(head) .. ' ' .. ms .. ' ' .. (created and '1' or '0'),
}
if created or ARGV[11] == '1' then
  epoch = ARGV[12]
  for _, value in ipairs({'v', '1', 'e', epoch}) do fields[#fields + 1] = value end
end
if deadline ~= '' then
  fields[#fields + 1] = 'd'
  fields[#fields + 1] = deadline
end
redis.call('HSET', meta, unpack(fields))
if deadline == '' and m[9] then redis.call('HDEL', meta, 'd') end

-- Of the instances, those that appended last are remembered.
if not stored and not created then
  local all, count, oldest, oldest_seq = redis.call('HGETALL', meta), 0, nil, nil
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'b:' then
      count = count + 1
      local last = tonumber(string.match(all[i + 1], '^%d+ %d+ (%d+) ')) or 0
      if not oldest_seq or last < oldest_seq then oldest, oldest_seq = all[i], last end
    end
  end
  if count > 16 then redis.call('HDEL', meta, oldest) end
end
settle(log, meta, prefix, m[7], m[6], deadline, now, ARGV[7])

-- What others hear: a line, and the records, each after its length, if they are not large.
local with_records = bytes <= tonumber(ARGV[13])
local said = {
  table.concat({
    '1', epoch, prev, ms .. '-' .. text(s + 1), text(head - s), instance, number, created and '1' or '0',
    with_records and '1' or '0',
  }, ' ') .. '\n',
}
if with_records then
  for i = first_arg, #ARGV do
    said[#said + 1] = struct.pack('<I4', #ARGV[i])
    said[#said + 1] = ARGV[i]
  end
end
redis.call('SPUBLISH', prefix .. 'bus', table.concat(said))
return {'stored', first, text(head), ms, created and '1' or '0', epoch, prev}
