-- Stores a chunk of an upload.
-- KEYS: meta, upload. ARGV: clock, key prefix, upload, index, process, ms that an upload stays, uploads at most, bytes.
local meta, key = KEYS[1], KEYS[2]
local upload, index, process, stay = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local m = redis.call('HMGET', meta, 'v', 'e', 'k', 'u')
if m[1] and m[1] ~= '1' then return {'newer', m[1]} end
local epoch = m[2]
if not epoch then return {'absent'} end
if string.find(m[3] or '', ':' .. upload .. ':', 1, true) then return {'adopted'} end
local now = clock(ARGV[1])

local function gone(touched) return tonumber(now) - tonumber(touched) >= tonumber(stay) end

local h = redis.call('HMGET', key, 'p', 't', 'e', 'n', 'z', 'b')
if h[1] and (h[1] ~= process or h[3] ~= epoch or gone(h[2])) then
  redis.call('UNLINK', key)
  h = {}
end
-- The uploads of this room that live, so that they die with it.
local open, count = {upload .. ':' .. now}, 1
for other, touched in string.gmatch(m[4] or '', '(%x+):(%d+)') do
  if other ~= upload then
    if gone(touched) then
      redis.pcall('UNLINK', ARGV[2] .. 'snap:0-' .. other)
    else
      count = count + 1
      open[count] = other .. ':' .. touched
    end
  end
end
if count > tonumber(ARGV[7]) then return {'many'} end

local chunks, last, bytes = tonumber(h[4] or '0'), tonumber(h[5] or '0'), tonumber(h[6] or '0')
if redis.call('HEXISTS', key, index) == 1 then
  bytes = bytes - redis.call('HSTRLEN', key, index)
else
  chunks = chunks + 1
end
bytes = bytes + #ARGV[8]
if tonumber(index) + 1 > last then last = tonumber(index) + 1 end
redis.call('HSET', key, index, ARGV[8], 'p', process, 't', now, 'e', epoch, 'n', text(chunks), 'z', text(last), 'b',
  text(bytes))
redis.call('PEXPIRE', key, stay)
redis.call('HSET', meta, 'u', table.concat(open, ' '))
return {'stored'}
