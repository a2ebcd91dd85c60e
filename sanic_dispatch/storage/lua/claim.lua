#!lua flags=allow-oom
-- Claim the lease: granted if the state is still the one that is given. It is empty if the topic has
-- no owner.
-- KEYS: meta, owner, jobs, workers, facts; then those of format 1; history, epochs.
-- ARGV: format, id, name, URL, former token; then "0" to look, or "1" and the state to claim it in.
local TYPES = {
  'hash', 'hash', 'hash', 'hash', 'hash',
  'stream', 'hash', 'hash', 'hash', 'zset', 'zset', 'zset', 'hash', 'hash',
  'hash', 'zset', 'hash', 'zset', 'zset', 'hash',
  'stream', 'list',
}
local META, OWNER, DISPATCHERS = KEYS[1], KEYS[2], KEYS[10]

for index, key in ipairs(KEYS) do
  local is = redis.call('TYPE', key).ok
  if is ~= 'none' and is ~= TYPES[index] then
    return {'refused', key .. ' is a ' .. is .. ' where a ' .. TYPES[index] .. ' should be'}
  end
end
local format = redis.call('HGET', META, 'format')
if not format then
  for _, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 then
      return {'refused', key .. ' is there without ' .. META}
    end
  end
  redis.call('HSET', META, 'format', ARGV[1])
elseif format == '1' then
  local time = redis.call('TIME')
  if redis.call('ZCOUNT', DISPATCHERS, '(' .. time[1], '+inf') > 0 then
    return {'held', '0.1', 'a dispatcher of version 0.1', '', ''}
  end
  return {'old'}
elseif format ~= ARGV[1] then
  return {'refused', META .. ' has format ' .. format .. ', this version knows ' .. ARGV[1]}
end

local token, beat, batch, name, url, successor =
  unpack(redis.call('HMGET', OWNER, 'token', 'beat', 'batch', 'name', 'url', 'successor'))
local state = ''
if token and token ~= '' and token ~= ARGV[5] then
  local epoch, id = string.match(token, '^(%d+):(.*)$')
  if id == ARGV[2] then -- the claim is repeated, since its answer was lost: count it as a heartbeat
    redis.call('HINCRBY', OWNER, 'beat', 1)
    return {'owner', token, tonumber(epoch)}
  end
  state = beat .. ' ' .. batch
else
  name, url = '', ''
end
if ARGV[6] ~= '1' or ARGV[7] ~= state then
  return {'held', state, name, url or '', successor or ''}
end
local epoch = redis.call('HINCRBY', META, 'epoch', 1)
token = string.format('%d', epoch) .. ':' .. ARGV[2]
redis.call('HSET', OWNER, 'token', token, 'name', ARGV[3], 'url', ARGV[4], 'beat', '0',
  'batch', token .. ' 0', 'successor', '')
redis.call('HDEL', OWNER, 'none')  -- an ACL without HDEL fails here, and not in the middle of a batch
return {'owner', token, epoch}
