#!lua flags=allow-oom
-- End the lease, if this token still has it. KEYS: owner. ARGV: token.
if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'token', '', 'name', '', 'url', '', 'batch', '')
end
return {'ok'}
