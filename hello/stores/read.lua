-- Reads the count and the pods' shares; distrusts a store that went back in time since it was last seen.
-- KEYS: 1 the counter, 2 the pods. ARGV: 1 epoch, 2 seen, 3 why a store is distrusted
local counter = redis.call('HMGET', KEYS[1], 'epoch', 'count', 'began', 'distrusted')
local pods = redis.call('HGETALL', KEYS[2])
if counter[1] and counter[1] == ARGV[1] and not counter[4] and tonumber(counter[2]) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'distrusted', ARGV[3])
  counter[4] = ARGV[3]
end
return {counter[1] or '', counter[2] or '0', counter[3] or '0', counter[4] or '', redis.call('TIME')[1], pods}
