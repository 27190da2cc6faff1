-- After a restart of Redis: notes what a session has seen. Answers which run of Redis this is, and how many sessions are
-- missing.
-- The roll has the sessions whose last batch was within ROLL seconds, two heartbeats, of the last batch of all. It is made
-- once a run, while nobody counts.
-- KEYS: 1 the counter, 2 the roll, a hash: `run`, and the ids of missing sessions
-- ARGV: 1 epoch, 2 seen, 3 why distrusted, 4 client (empty for a reading), 5 answered, 6 the run whose wait is over
local ROLL = 10
local client = ARGV[4]
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local counter, record = load(KEYS[1], client)

local function make_roll()
  local times, newest, last, cursor, roll = {}, 0, 0, '0', {}
  repeat
    local sessions, _, following = scan(KEYS[1], cursor)
    for id, value in pairs(sessions) do
      local epoch, _, _, index, time = parse_record(value)
      if epoch == counter.epoch then
        times[id] = time
        if index > newest then newest, last = index, time end
      end
    end
    cursor = following
  until cursor == '0'
  for id, time in pairs(times) do
    if time >= last - ROLL then roll[#roll + 1], roll[#roll + 2] = id, '' end
  end
  redis.call('DEL', KEYS[2])
  call('HSET', KEYS[2], roll)
  redis.call('HSET', KEYS[2], 'run', run)  -- last: without it the roll is made again
end

notice_rollback(KEYS[1], counter, ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5]), record, ARGV[3])
if redis.call('HGET', KEYS[2], 'run') ~= run then make_roll() end
redis.call('HDEL', KEYS[2], client)
local missing = redis.call('HLEN', KEYS[2]) - 1
if ARGV[6] == run then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], 'run', run)
end
return {run, missing}
