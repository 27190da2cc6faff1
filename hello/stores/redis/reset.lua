-- Begins an epoch. KEYS: 1 the counter. ARGV: 1 the end of the epoch's id, 2 its first count
-- The sessions' records stay: each names its epoch.
local epoch = make_epoch(redis.call('HGET', KEYS[1], 'epoch'), ARGV[1])
redis.call('HSET', KEYS[1], 'epoch', epoch, 'count', ARGV[2], 'began', ARGV[2], 'index', '0', 'forgotten', '0')
redis.call('HDEL', KEYS[1], 'distrusted')
return 'OK'
