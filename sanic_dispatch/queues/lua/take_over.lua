-- What dispatchers whose deadline is over have under way becomes this one's: once, by one of them.
-- Returns the ids of the jobs, and those of the workers that are lent to jobs, with the jobs' ids.
local now = now_s()
local alive = {}
for _, each in ipairs(call('ZRANGEBYSCORE', DISPATCHERS, '(' .. text(now), '+inf')) do
  alive[each] = true
end
call('ZREMRANGEBYSCORE', DISPATCHERS, '-inf', text(now))

local ids = {}
local owners = call('HGETALL', OWNERS)
for index = 1, #owners, 2 do
  if not alive[owners[index + 1]] then
    call('HSET', OWNERS, owners[index], asked.by)
    ids[#ids + 1] = owners[index]
  end
end
local lent = {}
local entries = call('HGETALL', LENT)
for index = 1, #entries, 2 do
  local owner, id = string.match(entries[index + 1], '^(%S+) (%S+)$')
  if not alive[owner] then
    call('HSET', LENT, entries[index], asked.by .. ' ' .. id)
    lent[#lent + 1] = entries[index]
    lent[#lent + 1] = id
  end
end
return {'ok', ids, lent}
