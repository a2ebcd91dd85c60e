#!lua flags=allow-oom
-- Resolve a batch of unknown outcome: return whether it was applied; if not, void it, so that a copy
-- that arrives late is not applied: the batch before gets another '!'. KEYS: owner. ARGV: token and
-- number of the batch before, and of this one.
local batch = redis.call('HGET', KEYS[1], 'batch')
if batch == ARGV[2] then return {'done'} end
if batch == ARGV[1] then
  redis.call('HSET', KEYS[1], 'batch', ARGV[1] .. '!')
elseif batch ~= ARGV[1] .. '!' then
  local token, name = unpack(redis.call('HMGET', KEYS[1], 'token', 'name'))
  if token ~= string.match(ARGV[1], '^%S+') then return {'lost', name or ''} end
  return {'gap'}
end
return {'void'}
