-- Sets the deadline of a room that is there.
-- KEYS: log, meta. ARGV: clock, ttl, grace.
local m = redis.call('HMGET', KEYS[2], 'v', 'e', 'x')
if m[1] and m[1] ~= '1' then return {'newer', m[1]} end
if not m[2] then return {'absent'} end
local now = clock(ARGV[1])
local deadline = ARGV[2] ~= '' and plus(now, ARGV[2]) or ''
-- A first write that takes no memory, so that a room in use stays where memory is full.
redis.call('HDEL', KEYS[2], 'd')
if deadline ~= '' then redis.call('HSET', KEYS[2], 'd', deadline) end
local ends = ending(m[3], deadline, now, ARGV[3])
if ends then
  -- include settle
  settle(KEYS[1], KEYS[2], ends)
end
return {'touched'}
