#!lua flags=allow-oom
-- Find out whether a batch was applied; if it was not, see to it that it never will be, however late
-- a copy of it arrives. KEYS: owner. ARGV: token and number of the batch before, and of this one.
local batch = redis.call('HGET', KEYS[1], 'batch')
if batch == ARGV[2] then return {'done'} end
if batch == ARGV[1] then
  redis.call('HSET', KEYS[1], 'batch', ARGV[2] .. '!')
elseif batch ~= ARGV[2] .. '!' then
  local token, name = unpack(redis.call('HMGET', KEYS[1], 'token', 'name'))
  if token ~= string.match(ARGV[1], '^%S+') then return {'lost', name or ''} end
  return {'gap'}
end
return {'void'}
