-- One of a room's two keys is gone. What is left is made a room again, under a new epoch, so that whoever has more
-- of it stores that again; records alone that do not begin with the first are put aside for a week.
-- KEYS: log, meta. ARGV: key prefix, epoch.
local log, meta, prefix, epoch = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local m = redis.call('HMGET', meta, 'v', 'e', 's', 't', 'x', 'f')
if m[1] and m[1] ~= '1' then return {'newer', m[1]} end
local there = redis.call('EXISTS', log) == 1

if m[2] then
  if there or m[3] == (m[6] or '0') then return {'whole'} end
  -- A stream that goes on where the room was; readers find that its records are missing, and the newest is none.
  redis.call('XADD', log, m[4] .. '-' .. m[3], 'e', '')
  if m[5] then redis.call('PEXPIREAT', log, m[5]) end
  redis.call('HSET', meta, 'e', epoch)
  redis.call('SPUBLISH', prefix .. 'bus', 'mended\n')
  return {'records lost'}
end

if not there then return {'whole'} end
local function ours(entry) return entry[2][1] == 'e' and string.sub(entry[2][2] or '', 1, 4) == 'RUAR' end
local head, bytes, from = nil, 0, '-'
repeat
  local page = redis.call('XRANGE', log, from, '+', 'COUNT', 500)
  for _, entry in ipairs(page) do
    local ms, seq = string.match(entry[1], '^(%d+)%-(%d+)$')
    local next_seq = head and text(tonumber(head[2]) + 1) or '1'
    if ours(entry) and seq == next_seq then
      head, bytes = {ms, seq}, bytes + #entry[2][2]
    end
    from = '(' .. entry[1]
  end
until #page < 500
if not head then
  local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if not (newest and ours(newest)) then return {'whole'} end -- somebody else's, from the start
  local aside = prefix .. 'lost:' .. epoch
  redis.call('RENAME', log, aside)
  redis.call('PEXPIRE', aside, 604800000)
  return {'put aside', aside}
end
redis.call('HSET', meta, 'v', '1', 'e', epoch, 's', head[2], 't', head[1], 'n', text(bytes))
redis.call('SPUBLISH', prefix .. 'bus', 'mended\n')
return {'entry lost'}
