#!lua flags=allow-oom
-- End the lease, if this token still has it. KEYS: owner. ARGV: token, the successor's name or nothing.
if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'token', '', 'name', '', 'url', '', 'batch', '', 'successor', ARGV[2])
end
return {'ok'}
