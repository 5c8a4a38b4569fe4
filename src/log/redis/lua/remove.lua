-- Removes a room, if it still is what the caller saw: its epoch, snapshots and uploads.
-- KEYS: meta, log, snapshots and uploads…; to delete it, the tombstone last.
-- ARGV: clock, why (expire, delete), epoch, k, u, deadline.
local m = redis.call('HMGET', KEYS[1], 'e', 'k', 'u', 'd', 't')
if (m[1] or '') ~= ARGV[3] or (m[2] or '') ~= ARGV[4] or (m[3] or '') ~= ARGV[5] then return {'changed'} end
local now = clock(ARGV[1])
local tomb = ARGV[2] == 'delete' and table.remove(KEYS) or nil
if not tomb and (m[4] ~= ARGV[6] or less(now, m[4])) then return {'kept'} end
-- Before the tombstone, which takes memory: it works where memory is full.
redis.call('UNLINK', unpack(KEYS))
-- No record that was deleted is younger than the tombstone, whatever the clock did.
if tomb then
  local t = m[5]
  redis.call('SET', tomb, t and string.find(t, '^%d+$') and less(now, t) and t or now)
end
return {'removed'}
