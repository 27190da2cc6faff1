-- Counts one batch, once.
-- KEYS: 1 the counter. ARGV: 1 epoch, 2 client, 3 sequence, 4 answered, 5 n, 6 seen, 7 pod, 8 new epoch, 9 why distrusted,
-- 10 'ends' if it is the session's last batch
-- Answers {client, sequence, what, …}. Numbers are sent as '%.0f': Lua's own conversion rounds to 14 digits.
local LIMIT = 9007199254740992
local key, epoch, client, sequence, pod, new_epoch = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[7], ARGV[8]
local answered, n, seen, ends = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[10] == 'ends'

local function answer(...) return {client, ARGV[3], ...} end

local counter, record = load(key, client)
local current = counter.epoch
local count, index, forgotten = whole_number(counter.count), whole_number(counter.index), whole_number(counter.forgotten)
local its_epoch, last, top, its_index, _, total = parse_record(record)
notice_rollback(key, counter, epoch, seen, answered, record, ARGV[9])
if counter.distrusted then return answer('distrusted', counter.distrusted) end

if current then
  if its_epoch == current and last == sequence then return answer('range', current, text(top), text(its_index)) end
  if epoch ~= '' and epoch ~= current then return answer('other epoch', current) end
  -- A first batch that arrived late left a record that says nothing of the session.
  if answered > 0 and (not record or last == 1 and its_index ~= answered) then return answer('forgotten') end
  if last > sequence then return answer('outdated') end
  if count > LIMIT - n then return answer('exhausted') end
elseif new_epoch == '' then
  return answer('wiped')
end

local now = tonumber(redis.call('TIME')[1])
local fields, gone, shares, changed = {}, {}, {}, {}

-- Forgets a session, and adds its total to its pod's share.
-- The index tells which sessions are forgotten, not the time: a clock may be wrong for a moment.
local function fold(id, in_epoch, at, time, took, by)
  gone[#gone + 1] = id
  if in_epoch ~= current then return end
  shares[by] = shares[by] or redis.call('HGET', key, 'pod:' .. by)  -- a scan does not find all
  local share_epoch, share, latest = parse_share(shares[by])
  if share_epoch ~= current then share, latest = 0, 0 end
  shares[by] = table.concat({current, text(share + took), text(math.max(latest, time))}, ' ')
  changed[by], forgotten = true, math.max(forgotten, at)
end

-- Each first batch of a session forgets idle ones, which keeps the hash small.
local function fold_idle()
  local sessions
  local anywhere = tonumber(string.sub(client, 1, 4), 16)  -- else each scan could find the same ones
  sessions, shares = scan(key, redis.call('HLEN', key) > FIELDS and anywhere or 0)
  for id, value in pairs(sessions) do
    local in_epoch, _, _, at, time, took, by = parse_record(value)
    if time <= now - SESSION_TIMEOUT then fold(id, in_epoch, at, time, took, by) end
  end
end

-- Keeps the shares of the most recent pods. The other numbers belong to earlier pods.
local function drop_shares()
  local kept = {}
  for by, value in pairs(shares) do
    local share_epoch, _, time = parse_share(value)
    kept[#kept + 1] = {share_epoch == current and time > now - POD_LIFETIME and time or 0, by}
  end
  table.sort(kept, function(one, other) return one[1] > other[1] end)
  for place, share in ipairs(kept) do
    if place > POD_LIMIT or share[1] == 0 then
      gone[#gone + 1] = 'pod:' .. share[2]
      changed[share[2]] = nil
    end
  end
end

if not current then
  current, count, index, forgotten = make_epoch(epoch, new_epoch), 0, 0, 0
  fields = {'epoch', current, 'began', '0'}
elseif sequence == 1 then
  fold_idle()
  drop_shares()
end

if its_epoch ~= current then total = 0 end
top, index = count + n, index + 1
if ends then
  fold(client, current, index, now, total + n, pod)
else
  record = table.concat({current, ARGV[3], text(top), text(index), text(now), text(total + n), pod}, ' ')
  fields[#fields + 1], fields[#fields + 2] = client, record
end
if #gone > 0 then
  redis.call('HSET', key, 'forgotten', text(forgotten))  -- first: without it, a forgotten session would seem lost
  call('HDEL', key, gone)
  local words = {}
  for by in pairs(changed) do
    words[#words + 1], words[#words + 2] = 'pod:' .. by, shares[by]
  end
  call('HSET', key, words)
end
redis.call('HSET', key, 'count', text(top), 'index', text(index), 'forgotten', text(forgotten), unpack(fields))
return answer('range', current, text(top), text(index))
