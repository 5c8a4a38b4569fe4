-- Begins every script. Numbers that may pass 2^53 (milliseconds, counters that callers name) stay decimal text.

-- Whether a is below b, both decimal and without leading zeros.
local function less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

-- A whole number below 2^53.
local function text(number) return string.format('%d', number) end

-- The server's clock in milliseconds: one moment for all of a script.
local wall_ms
local function wall()
  if not wall_ms then
    local t = redis.call('TIME')
    wall_ms = t[1] .. string.sub('00000' .. t[2], -6, -4)
  end
  return wall_ms
end

-- The store's clock: what tests give, or the server's.
local function clock(given)
  if given ~= '' then return given end
  return wall()
end

-- a + b, at most 2^64 - 1; what passes 2^53 counts as that.
local function plus(a, b)
  local sum = tonumber(a) + tonumber(b)
  if sum >= 9007199254740992 then return '18446744073709551615' end
  return text(sum)
end

-- When log, meta and snapshots of a room are to end, `grace` ms after the deadline (''; either: never). nil: field x
-- says so already, or less than a minute off.
local function ending(x, deadline, now, grace)
  local want = ''
  if deadline ~= '' and grace ~= '' then
    local at = wall() + (deadline - now) + grace
    if at < 9007199254740992 then
      if x and math.abs(at - (tonumber(x) or 0)) < 60000 then return nil end
      want = text(at)
    end
  end
  if want ~= (x or '') then return want end
end
