-- Marks a room that is there, or takes the mark away.
-- KEYS: meta. ARGV: 1 or 0.
local m = redis.call('HMGET', KEYS[1], 'v', 'e')
if m[1] and m[1] ~= '1' then return {'newer', m[1]} end
if not m[2] then return {'absent'} end
redis.call('HDEL', KEYS[1], 'z') -- a first write that takes no memory: it works where memory is full
if ARGV[1] == '1' then redis.call('HSET', KEYS[1], 'z', '1') end
return {'done'}
