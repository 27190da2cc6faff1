-- Reads the count, and the records of sessions and shares. Distrusts a store that was rolled back.
-- KEYS: 1 the counter. ARGV: 1 epoch, 2 seen, 3 why distrusted
local counter = load(KEYS[1], '')
notice_rollback(KEYS[1], counter, ARGV[1], tonumber(ARGV[2]), 0, nil, ARGV[3])
local sessions, shares = scan(KEYS[1], 0)
local time = redis.call('TIME')[1]
local reading = {counter.epoch or '', counter.count or '0', counter.began or '0', counter.distrusted or '', time}
for _, record in pairs(sessions) do reading[#reading + 1] = record end
for pod, share in pairs(shares) do
  reading[#reading + 1] = string.gsub(share, '^(%S+) (%d+) (%d+)$', '%1 0 0 0 %3 %2 ') .. pod  -- as a record
end
return reading
