#!lua flags=allow-oom
-- Begin an epoch of events, unless it has begun. KEYS: owner, epochs. ARGV: token, the epoch, and how
-- many to keep.
local token, name = unpack(redis.call('HMGET', KEYS[1], 'token', 'name'))
if token ~= ARGV[1] then return {'lost', name or ''} end
if redis.call('LINDEX', KEYS[2], -1) ~= ARGV[2] then
  redis.call('RPUSH', KEYS[2], ARGV[2])
  redis.call('LTRIM', KEYS[2], -tonumber(ARGV[3]), -1)
end
return {'ok'}
