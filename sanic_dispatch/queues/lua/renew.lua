-- A sign of life: this dispatcher's deadline moves on. Returns what it has to know of the others.
--
-- Whoever comes back late may not have been alone in being cut off: then all get time to come back
-- before anybody is taken for dead. They do not get it twice in a row, else one that is late again
-- and again would keep a dead one's entry. One that was taken for dead is told so, and begins anew.
--
-- One whose other queue is not here must be alone, as long as it lives: nobody else may come then.
-- It is told where somebody came meanwhile, since its deadline was over, and is in nobody's way then.
local now = now_s()
local until_s = call('ZSCORE', DISPATCHERS, asked.by)
if not until_s and not asked.is_new then return {'lost'} end
if asked.is_alone and not asked.is_new and call('HGET', META, 'alone') ~= asked.by then
  call('ZREM', DISPATCHERS, asked.by)
  return {'lost'}
end
if asked.is_new then
  local others = call('ZRANGEBYSCORE', DISPATCHERS, '(' .. text(now), '+inf')
  local alone = call('HGET', META, 'alone')
  for _, other in ipairs(others) do
    -- it stands there itself where the answer to its first try was lost
    if other ~= asked.by and (asked.is_alone or other == alone) then return {'in use'} end
  end
  call('HSET', META, 'alone', asked.is_alone and asked.by or '')
end
local patient_s = tonumber(call('HGET', META, 'patient') or '0') -- when time was given last
if until_s and tonumber(until_s) < now and patient_s + 2 * asked.lease_s < now then
  call('HSET', META, 'patient', text(now))
  for _, each in ipairs(call('ZRANGE', DISPATCHERS, 0, -1)) do
    call('ZADD', DISPATCHERS, 'GT', text(now + asked.lease_s), each)
  end
end
call('ZADD', DISPATCHERS, text(now + asked.lease_s), asked.by)
local state = call('HMGET', META, 'epoch', 'number')
local alive = call('ZRANGEBYSCORE', DISPATCHERS, '(' .. text(now), '+inf')
local dead = call('ZRANGEBYSCORE', DISPATCHERS, '-inf', text(now))
local pairs = math.min(call('ZCARD', jobs.free), call('ZCARD', workers.free))
return {'ok', state[1], tonumber(state[2]), alive, dead, is_paused() and 0 or pairs}
