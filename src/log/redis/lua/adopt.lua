-- Publishes an upload, if nothing has changed since the caller looked.
-- KEYS: log, meta, upload, snapshot, snapshots to drop…. ARGV: epoch, revision, k as seen, k as it will be, upload,
-- chunks, bytes, `through` as an id, its counter, revision as it will be.
local log, meta, key, adopted = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local m = redis.call('HMGET', meta, 'e', 'g', 'k', 'u', 'x', 'f')
if m[1] ~= ARGV[1] or (m[2] or '0') ~= ARGV[2] or (m[3] or '') ~= ARGV[3] then return {'changed'} end
local h = redis.call('HMGET', key, 'n', 'z', 'b')
if h[1] ~= ARGV[6] or h[2] ~= ARGV[6] or h[3] ~= ARGV[7] then return {'changed'} end
if #redis.call('XRANGE', log, ARGV[8], ARGV[8]) == 0 and (m[6] or '0') ~= ARGV[9] then return {'nothrough'} end

redis.call('RENAME', key, adopted)
if m[5] then redis.call('PEXPIREAT', adopted, m[5]) else redis.call('PERSIST', adopted) end
for i = 5, #KEYS do redis.call('UNLINK', KEYS[i]) end
local open = {}
for other, touched in string.gmatch(m[4] or '', '(%x+):(%d+)') do
  if other ~= ARGV[5] then open[#open + 1] = other .. ':' .. touched end
end
redis.call('HSET', meta, 'g', ARGV[10], 'k', ARGV[4], 'u', table.concat(open, ' '))
return {'adopted'}
