-- Counts one batch, once.
-- KEYS: 1 the counter. ARGV: 1 epoch, 2 client, 3 sequence, 4 answered, 5 n, 6 seen, 7 pod, 8 new epoch, 9 why distrusted,
-- 10 'ended' if it is the session's last
-- Answers {client, sequence, what, …}; numbers leave as '%.0f', since Lua's own conversion rounds at 14 digits.
local LIMIT, SESSION_LIFETIME = 9007199254740992, 86400
local key, epoch, client, sequence, pod, new_epoch = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[7], ARGV[8]
local answered, n, seen = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local function text(number) return string.format('%.0f', number) end
local function answer(...) return {client, ARGV[3], ...} end

local values = redis.call('HMGET', key, 'epoch', 'count', 'index', 'forgotten', 'distrusted', client)
local counter = {epoch = values[1], count = values[2], forgotten = values[4]}
check(counter)
local current, record = counter.epoch, values[6]
local count, index, forgotten = whole(counter.count), whole(values[3]), whole(counter.forgotten)
local its_epoch, last, top, its_index, _, total = parse(record)
if values[5] then return answer('distrusted', values[5]) end

if current then
  if rolled_back(counter, epoch, seen, answered, record) then
    distrust(key, counter, epoch, ARGV[9])
    return answer('distrusted', ARGV[9])
  end
  if its_epoch == current and last == sequence then return answer('range', current, text(top), text(its_index)) end
  -- The batch may have been counted in an epoch that is over.
  if epoch ~= '' and epoch ~= current or its_epoch ~= current and last >= sequence then
    return answer('other epoch', current)
  end
  if not record and answered > 0 then return answer('forgotten') end
  if last > sequence then return answer('outdated') end
  if count > LIMIT - n then return answer('exhausted') end
elseif new_epoch == '' then
  return answer('wiped')
end

local now, gone, begins = redis.call('TIME')[1], {}, {}
if not current then
  current, count, index, forgotten = make_epoch(epoch, new_epoch), 0, 0, 0
  begins = {'epoch', current, 'began', '0'}
elseif sequence == 1 then
  local _, records = load(key)
  for id, value in pairs(records) do
    local in_epoch, _, _, at, time = parse(value)
    if time <= now - SESSION_LIFETIME and #gone < 1000 then
      gone[#gone + 1] = id
      -- Who was forgotten is told by the index, not by the time: a clock may be wrong for a moment.
      if in_epoch == current then forgotten = math.max(forgotten, at) end
    end
  end
end

if its_epoch ~= current then total = 0 end
top, index = text(count + n), text(index + 1)
record = table.concat({current, ARGV[3], top, index, now, text(total + n), pod, ARGV[10]}, ' ')
redis.call('HSET', key, 'count', top, 'index', index, 'forgotten', text(forgotten), client, record, unpack(begins))
if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
return answer('range', current, top, index)
