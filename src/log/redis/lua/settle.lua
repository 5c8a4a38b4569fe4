-- Stands where a script says `include settle`: a function costs each run that makes it, and this is seldom needed.

-- The keys of the adopted snapshots in field k, which has `revision:upload:…` for each.
local function snapshot_keys(prefix, k)
  local keys = {}
  for revision, upload in string.gmatch(k or '', '(%d+):(%x+):[%d:]+') do
    keys[#keys + 1] = prefix .. 'snap:' .. revision .. '-' .. upload
  end
  return keys
end

-- Has log, meta and snapshots end together (''; never). Field x says what is set.
local function settle(log, meta, want)
  local all_set = true
  for _, key in ipairs(snapshot_keys(string.sub(meta, 1, -5), redis.call('HMGET', meta, 'k')[1])) do
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
