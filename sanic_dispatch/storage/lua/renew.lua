#!lua flags=allow-oom
-- Increment the heartbeat. KEYS: owner. ARGV: token.
local token, name = unpack(redis.call('HMGET', KEYS[1], 'token', 'name'))
if token ~= ARGV[1] then return {'lost', name or ''} end
redis.call('HINCRBY', KEYS[1], 'beat', 1)
return {'ok'}
