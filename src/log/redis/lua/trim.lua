-- Forgets records up to one that is there, if the oldest snapshot still covers it.
-- KEYS: log, meta. ARGV: epoch, counter of the last record to go, its ms.
local log, meta = KEYS[1], KEYS[2]
local m = redis.call('HMGET', meta, 'e', 's', 'f', 'k')
local floor, through = m[3] or '0', ARGV[2]
if m[1] ~= ARGV[1] then return {'changed'} end
if not less(floor, through) then return {'trimmed', floor} end
local covered = string.match(m[4] or '', '^%d+:%x+:(%d+):')
if not covered or less(covered, through) then return {'changed'} end

-- Nothing goes on the strength of a number alone: this entry is the last one to go, and the next one is its successor,
-- or it is the newest.
local id, after = ARGV[3] .. '-' .. through, text(tonumber(through) + 1)
if #redis.call('XRANGE', log, id, id) == 0 then return {'lost'} end
local next_entry = redis.call('XRANGE', log, '(' .. id, '+', 'COUNT', 1)[1]
if through ~= m[2] and not (next_entry and string.match(next_entry[1], '%-(%d+)$') == after) then return {'lost'} end
redis.call('XTRIM', log, 'MINID', '=', ARGV[3] .. '-' .. after)
redis.call('HSET', meta, 'f', through)
return {'trimmed', through}
