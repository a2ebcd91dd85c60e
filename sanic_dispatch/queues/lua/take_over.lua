-- What dispatchers whose deadline is over have under way becomes this one's to settle: of one of
-- them. It is marked as taken over, and stays so until it is settled, so that whoever asks again
-- gets it again: the answer may be lost, or something that has to follow may fail.
-- Returns the ids of the jobs, and those of the workers that are lent to jobs, with the jobs' ids.
local now = now_s()
local alive = {}
for _, each in ipairs(call('ZRANGEBYSCORE', DISPATCHERS, '(' .. text(now), '+inf')) do
  alive[each] = true
end
call('ZREMRANGEBYSCORE', DISPATCHERS, '-inf', text(now))

-- Whether it is somebody else's: of one that lives, also where that one has taken it over itself.
local function is_others(owner)
  local by = taken_by(owner)
  return alive[by] and not (by == asked.by and owner ~= by)
end

local taken = asked.by .. TAKEN
local ids = {}
local owners = call('HGETALL', OWNERS)
for index = 1, #owners, 2 do
  if not is_others(owners[index + 1]) then
    call('HSET', OWNERS, owners[index], taken)
    ids[#ids + 1] = owners[index]
  end
end
local lent = {}
local entries = call('HGETALL', LENT)
for index = 1, #entries, 2 do
  local owner, id = string.match(entries[index + 1], '^(%S+) (%S+)$')
  if not is_others(owner) then
    call('HSET', LENT, entries[index], taken .. ' ' .. id)
    lent[#lent + 1] = entries[index]
    lent[#lent + 1] = id
  end
end
return {'ok', ids, lent}
