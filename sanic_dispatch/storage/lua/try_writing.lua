#!lua
-- Check that a batch could be written: read all tables, and increment the heartbeat. KEYS: owner, and the tables. ARGV: token.
local token, name = unpack(redis.call('HMGET', KEYS[1], 'token', 'name'))
if token ~= ARGV[1] then return {'lost', name or ''} end
for _, key in ipairs(KEYS) do redis.call('HLEN', key) end
redis.call('HINCRBY', KEYS[1], 'beat', 1)
return {'ok'}
