#!lua flags=allow-oom
-- Let go of the queues, if they are still ours. KEYS: owner. ARGV: token.
if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'token', '', 'name', '', 'batch', '')
end
return {'ok'}
