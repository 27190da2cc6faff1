-- After a restart of Redis: notes what a session has seen; answers which run of Redis this is, and how many sessions
-- have not said what they saw.
-- On the roll are the sessions that have not ended and whose last batch was not older than ROLL seconds, twice a
-- heartbeat, at the last batch of all. It is made once a run.
-- KEYS: 1 the counter, 2 the roll, a hash: `run`, and the ids of those who have yet to speak
-- ARGV: 1 epoch, 2 seen, 3 why distrusted, 4 client (empty if none speaks), 5 answered,
-- 6 the run in which the wait is over: the end of a wait belongs to one run too
local ROLL = 10
local client = ARGV[4]
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local counter, records = load(KEYS[1])

local backwards = counter.epoch and not counter.distrusted
  and rolled_back(counter, ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5]), records[client])

local roll = {'run', run}
if redis.call('HGET', KEYS[2], 'run') ~= run then
  local times, newest, last = {}, 0, 0
  for id, record in pairs(records) do
    local epoch, _, _, index, time = parse(record)
    if epoch == counter.epoch then
      if not string.match(record, ' ended$') then times[id] = time end
      if index > newest then newest, last = index, time end
    end
  end
  for id, time in pairs(times) do
    if time >= last - ROLL then
      roll[#roll + 1] = id
      roll[#roll + 1] = ''
    end
  end
  redis.call('DEL', KEYS[2])
end
if backwards then distrust(KEYS[1], counter, ARGV[1], ARGV[3]) end
redis.call('HSET', KEYS[2], unpack(roll))
redis.call('HDEL', KEYS[2], client)
local missing = redis.call('HLEN', KEYS[2]) - 1
if ARGV[6] == run then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], 'run', run)
end
return {run, missing}
