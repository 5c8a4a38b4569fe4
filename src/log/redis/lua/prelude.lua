-- Begins every script. Numbers that may pass 2^53 (milliseconds, counters that callers name) stay decimal text.

-- Whether a is below b, both decimal and without leading zeros.
local function less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function text(number) return string.format('%.0f', number) end

-- The server's clock in milliseconds, as a number: one moment for all of a script.
local wall_ms
local function wall()
  if not wall_ms then
    local t = redis.call('TIME')
    wall_ms = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return wall_ms
end

-- The store's clock: what tests give, or the server's.
local function clock(given)
  if given ~= '' then return given end
  return text(wall())
end

-- a + b, at most 2^64 - 1; what passes 2^53 counts as that.
local function plus(a, b)
  local sum = tonumber(a) + tonumber(b)
  if sum >= 9007199254740992 then return '18446744073709551615' end
  return text(sum)
end

-- The keys of the adopted snapshots in field k, which has `revision:upload:…` for each.
local function snapshot_keys(prefix, k)
  local keys = {}
  for revision, upload in string.gmatch(k or '', '(%d+):(%x+):[%d:]+') do
    keys[#keys + 1] = prefix .. 'snap:' .. revision .. '-' .. upload
  end
  return keys
end

-- Has log, meta and snapshots end together, `grace` ms after the deadline (''; either: never). Field x says what is
-- set; a difference below a minute is left as it is.
local function settle(log, meta, prefix, k, x, deadline, now, grace)
  local want = ''
  if deadline ~= '' and grace ~= '' then
    local at = wall() + (tonumber(deadline) - tonumber(now)) + tonumber(grace)
    if at < 9007199254740992 then want = text(at) end
  end
  x = x or ''
  if want == x or (want ~= '' and x ~= '' and math.abs(tonumber(want) - tonumber(x)) < 60000) then return end
  local all_set = true
  for _, key in ipairs(snapshot_keys(prefix, k)) do
    -- A slot that moves to another server may have lost sight of it; then the next call sets it.
    local set
    if want == '' then set = redis.pcall('PERSIST', key) else set = redis.pcall('PEXPIREAT', key, want) end
    if type(set) == 'table' then all_set = false end
  end
  if want == '' then
    redis.call('PERSIST', log)
    redis.call('PERSIST', meta)
    if all_set then redis.call('HDEL', meta, 'x') end
  else
    if all_set then redis.call('HSET', meta, 'x', want) else redis.call('HDEL', meta, 'x') end
    redis.call('PEXPIREAT', log, want)
    redis.call('PEXPIREAT', meta, want)
  end
end
