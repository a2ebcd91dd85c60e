#!lua flags=allow-oom
-- Increment the heartbeat. KEYS: owner. ARGV: token, and the successor's name, or nothing.
local token, name = unpack(redis.call('HMGET', KEYS[1], 'token', 'name'))
if token ~= ARGV[1] then return {'lost', name or ''} end
redis.call('HINCRBY', KEYS[1], 'beat', 1)
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'successor', ARGV[2]) end
return {'ok'}
