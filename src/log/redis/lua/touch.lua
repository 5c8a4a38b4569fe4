-- Sets the deadline of a room that is there.
-- KEYS: log, meta. ARGV: clock, key prefix, ttl, grace.
local m = redis.call('HMGET', KEYS[2], 'v', 'e', 'x', 'k')
if m[1] and m[1] ~= '1' then return {'newer', m[1]} end
if not m[2] then return {'absent'} end
local now = clock(ARGV[1])
local deadline = ARGV[3] ~= '' and plus(now, ARGV[3]) or ''
-- A first write that takes no memory, so that a room in use stays where memory is full.
redis.call('HDEL', KEYS[2], 'd')
if deadline ~= '' then redis.call('HSET', KEYS[2], 'd', deadline) end
settle(KEYS[1], KEYS[2], ARGV[2], m[4], m[3], deadline, now, ARGV[4])
return {'touched'}
