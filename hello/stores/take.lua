-- Counts one trip, once; the rules are those of rules.py.
-- KEYS: 1 the counter (hash), 2 the pods (hash: "count seen"), 3 the process' record (string: "epoch sequence top time")
-- ARGV: 1 epoch, 2 process, 3 sequence, 4 answered, 5 n, 6 seen, 7 pod, 8 new epoch, 9 why a store is distrusted
-- Answers {process, sequence, what, …}. All is read and checked before the first write: Redis undoes nothing.
-- Numbers leave as '%.0f': Lua's own conversion rounds at 14 digits.
local LIMIT, MEMORY, EARLIER = 9007199254740992, 86400, 'earlier pods'
local epoch, process, pod = ARGV[1], ARGV[2], ARGV[7]
local sequence, answered, n, seen = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local counter = redis.call('HMGET', KEYS[1], 'epoch', 'count', 'distrusted')
local pods = sequence == 1 and redis.call('HGETALL', KEYS[2]) or {pod, redis.call('HGET', KEYS[2], pod)}
local record = redis.call('GET', KEYS[3])
local now = redis.call('TIME')
local time = now[1]

local function text(number) return string.format('%.0f', number) end
local function answer(...) return {process, ARGV[3], ...} end
local function share(of, value)
  local visitors, seen = string.match(value, '^(%d+) (%d+)$')
  if not visitors then error('the share of ' .. of .. ' is none') end
  return tonumber(visitors), tonumber(seen)
end

local current, count = counter[1], tonumber(counter[1] and counter[2] or 0)
if counter[3] then return answer('distrusted', counter[3]) end
if current then
  if epoch ~= '' and epoch ~= current then return answer('other epoch', current) end
  if count >= seen and not record and answered > 0 then return answer('forgotten', time) end
  local begun, last, top, at = string.match(record or ' 0 0 0', '^(.*) (%d+) (%d+) (%d+)$')
  last = tonumber(last)
  -- It was counted in an epoch that is over.
  if begun ~= current and last >= sequence then return answer('other epoch', current) end
  if count < seen or last < answered then
    redis.call('HSET', KEYS[1], 'distrusted', ARGV[9])
    return answer('distrusted', ARGV[9])
  end
  if last > sequence then return answer('outdated') end
  if last == sequence then return answer('range', current, top, at) end
  if count > LIMIT - n then return answer('exhausted') end
elseif epoch ~= '' then
  return answer('wiped')
end

local mine, earlier, gone = 0, 0, {}
for i = 1, current and #pods or 0, 2 do
  local visitors, seen_at = share(pods[i], pods[i + 1] or '0 0')
  if pods[i] == pod then
    mine = visitors
  elseif pods[i] == EARLIER then
    earlier = earlier + visitors
  elseif seen_at <= tonumber(time) - MEMORY and #gone < 1000 then
    earlier = earlier + visitors
    gone[#gone + 1] = pods[i]
  end
end

local top = text(count + n)
if current then
  redis.call('HSET', KEYS[1], 'count', top)
else
  -- The clock makes it another epoch if a trip that began one comes again, late, after a wipe.
  current = ARGV[8] .. time .. string.format('%06d', now[2])
  redis.call('HSET', KEYS[1], 'epoch', current, 'count', top, 'began', '0')
  redis.call('DEL', KEYS[2])
end
if #gone > 0 then
  redis.call('HDEL', KEYS[2], unpack(gone))
  redis.call('HSET', KEYS[2], EARLIER, text(earlier) .. ' 0')
end
redis.call('HSET', KEYS[2], pod, text(mine + n) .. ' ' .. time)
redis.call('SET', KEYS[3], current .. ' ' .. ARGV[3] .. ' ' .. top .. ' ' .. time, 'EX', MEMORY)
return answer('range', current, top, time)
