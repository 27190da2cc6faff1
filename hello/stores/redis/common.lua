-- The beginning of every script; the rules are those of rules.py.
-- A counter is one hash: epoch, count, began, index, forgotten, distrusted; for each client session, under its id of 32
-- digits, the record "epoch sequence top index time total pod"; for each pod whose sessions were folded, under 'pod:' and
-- its name, the share "epoch total time".
local SESSION_TIMEOUT, POD_LIFETIME, POD_LIMIT = 1200, 86400, 500
local FIELDS = 1000  -- sessions and shares that a script looks at, at most
local WORDS = 1000  -- words that are unpacked at once: Lua's stack has a limit

local function text(number) return string.format('%.0f', number) end

local function begun(epoch)
  return tonumber(string.match(epoch or '', '^(' .. string.rep('%d', 16) .. ')%-') or 0)
end

local function make_epoch(before, ending)
  local now = redis.call('TIME')
  return string.format('%016.0f-', math.max(now[1] * 1000000 + now[2], begun(before) + 1)) .. ending
end

local function whole_number(value)
  if value and not string.match(value, '^%d+$') then error('what it holds is not a count') end
  return tonumber(value or 0)
end

local function parse_record(value)
  local epoch, sequence, top, index, time, total, pod =
    string.match(value or '- 0 0 0 0 0 -', '^(%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+)$')
  if not pod then error('what it holds is not the record of a session') end
  return epoch, tonumber(sequence), tonumber(top), tonumber(index), tonumber(time), tonumber(total), pod
end

local function parse_share(value)
  local epoch, total, time = string.match(value or '- 0 0', '^(%S+) (%d+) (%d+)$')
  if not time then error('what it holds is not the share of a pod') end
  return epoch, tonumber(total), tonumber(time)
end

-- Returns the counter's own fields, and the record of a session.
local function load(key, client)
  local names, counter = {'epoch', 'count', 'began', 'index', 'forgotten', 'distrusted', client}, {}
  local values = redis.call('HMGET', key, unpack(names))
  for i = 1, 6 do counter[names[i]] = values[i] end
  local epoch = counter.epoch
  if epoch and not string.match(epoch, '^' .. string.rep('%d', 16) .. '%-[!-~]+$') then
    error('what it holds is not the id of an epoch')
  end
  if not epoch ~= not counter.count then error('what it holds is an epoch without a count, or a count without an epoch') end
  return counter, values[7]
end

-- Returns records by session and shares by pod, from a cursor, and the next cursor.
local function scan(key, cursor)
  local found, sessions, shares = redis.call('HSCAN', key, cursor, 'COUNT', FIELDS), {}, {}
  local fields = found[2]
  for i = 1, #fields, 2 do
    local pod = string.match(fields[i], '^pod:(.*)$')
    if pod then
      shares[pod] = fields[i + 1]
    elseif #fields[i] == 32 then
      sessions[fields[i]] = fields[i + 1]
    end
  end
  return sessions, shares, found[1]
end

local function call(command, key, words)
  for i = 1, #words, WORDS do redis.call(command, key, unpack(words, i, math.min(i + WORDS - 1, #words))) end
end

local function rolled_back(counter, epoch, seen, answered, record)
  if counter.epoch ~= epoch then return begun(counter.epoch) < begun(epoch) end
  local _, _, _, index = parse_record(record)
  return whole_number(counter.count) < seen or index < answered and (record or answered > whole_number(counter.forgotten))
end

-- The counter takes the later epoch, so that the epoch after it is later still, whatever the clock says.
local function notice_rollback(key, counter, epoch, seen, answered, record, why)
  if not counter.epoch or counter.distrusted or not rolled_back(counter, epoch, seen, answered, record) then return end
  local latest = begun(counter.epoch) < begun(epoch) and epoch or counter.epoch
  redis.call('HSET', key, 'distrusted', why, 'epoch', latest)
  counter.distrusted = why
end

