#!lua
-- Apply a batch: all of it, once, and only for the owner.
-- KEYS: owner, and the tables. ARGV: token and number of the batch before, token and number of this
-- one; then for each part of it the index of its key, HSET or HDEL, how many words follow, and the
-- words.
local batch = redis.call('HGET', KEYS[1], 'batch')
if batch ~= ARGV[1] then
  if batch == ARGV[2] then return {'done'} end
  if batch == ARGV[2] .. '!' then return {'void'} end
  local token, name = unpack(redis.call('HMGET', KEYS[1], 'token', 'name'))
  if token ~= string.match(ARGV[1], '^%S+') then return {'lost', name or ''} end
  return {'gap'}
end

-- What is written before an error stays written: so look first whether there can be one.
local at = 3
local is_one_part = not ARGV[at] or not ARGV[at + 3 + tonumber(ARGV[at + 2])]
while not is_one_part and ARGV[at] do
  redis.call('HLEN', KEYS[tonumber(ARGV[at])])
  at = at + 3 + tonumber(ARGV[at + 2])
end
at = 3
while ARGV[at] do
  local last = at + 2 + tonumber(ARGV[at + 2])
  redis.call(ARGV[at + 1], KEYS[tonumber(ARGV[at])], unpack(ARGV, at + 3, last))
  at = last + 1
end
redis.call('HSET', KEYS[1], 'batch', ARGV[2])
return {'ok'}
