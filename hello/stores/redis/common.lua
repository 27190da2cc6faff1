-- What every script begins with; the rules are those of rules.py.
-- A counter is one hash: epoch, count, began, index, forgotten, distrusted, and for each client session, by its id of 32 digits,
-- the record "epoch sequence top index time total pod ended". One write changes it, so Redis, which undoes nothing, need not.

local function begun(epoch)
  return tonumber(string.match(epoch or '', '^(' .. string.rep('%d', 16) .. ')%-') or 0)
end

local function make_epoch(before, ending)
  local now = redis.call('TIME')
  return string.format('%016.0f-', math.max(now[1] * 1000000 + now[2], begun(before) + 1)) .. ending
end

local function whole(value)
  if value and not string.match(value, '^%d+$') then error('what it holds is not a count') end
  return tonumber(value or 0)
end

local function parse(value)
  local epoch, sequence, top, index, time, total = string.match(value or ' 0 0 0 0 0 ', '^(%S*) (%d+) (%d+) (%d+) (%d+) (%d+) ')
  if not total then error('what it holds is not the record of a session') end
  return epoch, tonumber(sequence), tonumber(top), tonumber(index), tonumber(time), tonumber(total)
end

local function check(counter)
  local epoch = counter.epoch
  local is_older = epoch and (#epoch == 16 or #epoch == 24) and string.match(epoch, '^[%da-f]+$')  -- its id tells no time
  if epoch and not is_older and not string.match(epoch, '^' .. string.rep('%d', 16) .. '%-[!-~]+$') then
    error('what it holds is not the id of an epoch')
  end
  if not epoch ~= not counter.count then error('what it holds is an epoch without a count, or a count without an epoch') end
end

local function load(key)
  local fields, counter, records = redis.call('HGETALL', key), {}, {}
  for i = 1, #fields, 2 do
    local of = #fields[i] == 32 and records or counter
    of[fields[i]] = fields[i + 1]
  end
  check(counter)
  return counter, records
end

local function rolled_back(counter, epoch, seen, answered, record)
  if counter.epoch ~= epoch then return begun(counter.epoch) < begun(epoch) end
  local _, _, _, index = parse(record)
  return whole(counter.count) < seen or index < answered and (record or answered > whole(counter.forgotten))
end

-- The epoch that follows is to be later than the one that was seen, whatever the clock says then.
local function distrust(key, counter, epoch, why)
  local latest = begun(counter.epoch) < begun(epoch) and epoch or counter.epoch
  redis.call('HSET', key, 'distrusted', why, 'epoch', latest)
end

