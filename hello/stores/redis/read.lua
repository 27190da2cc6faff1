-- Reads the count and the sessions' records; distrusts a store that was rolled back since it was last seen.
-- KEYS: 1 the counter. ARGV: 1 epoch, 2 seen, 3 why distrusted
local counter, records = load(KEYS[1])
local values = {}
for _, record in pairs(records) do values[#values + 1] = record end
if counter.epoch and not counter.distrusted and rolled_back(counter, ARGV[1], tonumber(ARGV[2]), 0) then
  distrust(KEYS[1], counter, ARGV[1], ARGV[3])
  counter.distrusted = ARGV[3]
end
local time = redis.call('TIME')[1]
return {counter.epoch or '', counter.count or '0', counter.began or '0', counter.distrusted or '', time, values}
