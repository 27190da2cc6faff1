-- Begins a new epoch. KEYS: 1 the counter, 2 the pods. ARGV: 1 epoch, 2 its first count
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'count', ARGV[2], 'began', ARGV[2])
return 'OK'
