-- Lets go of an upload that lost.
-- KEYS: meta, upload. ARGV: upload.
local m = redis.call('HMGET', KEYS[1], 'u')
redis.call('UNLINK', KEYS[2])
if not m[1] then return {'forgotten'} end
local open = {}
for other, touched in string.gmatch(m[1], '(%x+):(%d+)') do
  if other ~= ARGV[1] then open[#open + 1] = other .. ':' .. touched end
end
redis.call('HSET', KEYS[1], 'u', table.concat(open, ' '))
return {'forgotten'}
