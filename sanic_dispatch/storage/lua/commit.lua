#!lua
-- Apply a batch atomically, once, and only for the owner (fencing token and compare-and-set).
-- KEYS: owner, the tables, and the history. ARGV: token and number of the batch before, token and
-- number of this one; then for each command the index of its key, the command, how many arguments
-- follow, and these.
local HISTORY = 5
local batch = redis.call('HGET', KEYS[1], 'batch')
if batch ~= ARGV[1] then
  if batch == ARGV[2] then return {'done'} end
  if batch == ARGV[1] .. '!' then return {'void'} end
  local token, name = unpack(redis.call('HMGET', KEYS[1], 'token', 'name'))
  if token ~= string.match(ARGV[1], '^%S+') then return {'lost', name or ''} end
  return {'gap'}
end

-- Redis does not roll a script back. So provoke an error, such as a wrong type, before any write.
local at = 3
local is_one_part = not ARGV[at] or not ARGV[at + 3 + tonumber(ARGV[at + 2])]
while not is_one_part and ARGV[at] do
  local key = tonumber(ARGV[at])
  redis.call(key == HISTORY and 'XLEN' or 'HLEN', KEYS[key])
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
