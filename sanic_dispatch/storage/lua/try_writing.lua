#!lua
-- Check that a batch could be written: read all tables and the history, and increment the heartbeat.
-- KEYS: owner, the tables, and the history. ARGV: token.
local token, name = unpack(redis.call('HMGET', KEYS[1], 'token', 'name'))
if token ~= ARGV[1] then return {'lost', name or ''} end
for index, key in ipairs(KEYS) do redis.call(index == #KEYS and 'XLEN' or 'HLEN', key) end
redis.call('HINCRBY', KEYS[1], 'beat', 1)
return {'ok'}
