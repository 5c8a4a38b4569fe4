-- Removes a room, if it still is what the caller saw: its epoch, snapshots and uploads.
-- KEYS: meta, log, snapshots and uploads…. ARGV: clock, why (expire, delete), epoch, k, u, deadline, key of the tombstone.
local m = redis.call('HMGET', KEYS[1], 'e', 'k', 'u', 'd')
if (m[1] or '') ~= ARGV[3] or (m[2] or '') ~= ARGV[4] or (m[3] or '') ~= ARGV[5] then return {'changed'} end
local now = clock(ARGV[1])
if ARGV[2] == 'expire' then
  if m[4] ~= ARGV[6] or less(now, m[4]) then return {'kept'} end
else
  redis.call('SET', ARGV[7], now)
end
redis.call('UNLINK', unpack(KEYS))
return {'removed'}
