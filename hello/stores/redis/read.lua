-- Reads the count, the sessions' records and the pods' shares; distrusts a store that was rolled back since it was last seen.
-- KEYS: 1 the counter. ARGV: 1 epoch, 2 seen, 3 why distrusted
local counter = load(KEYS[1], '')
notice_rollback(KEYS[1], counter, ARGV[1], tonumber(ARGV[2]), 0, nil, ARGV[3])
local sessions, shares = scan(KEYS[1], 0)
local records, parts = {}, {}
for _, record in pairs(sessions) do records[#records + 1] = record end
for pod, share in pairs(shares) do parts[#parts + 1] = share .. ' ' .. pod end
local time = redis.call('TIME')[1]
return {counter.epoch or '', counter.count or '0', counter.began or '0', counter.distrusted or '', time, records, parts}
