#!lua
-- Migrate format 1, that of version 0.1, to the current one, atomically.
-- KEYS: as for claim.lua. ARGV: the current format.
--
-- Records of format 1 are flat objects of strings. Numbers stay strings, since Lua would lose digits.
-- Nothing is written before all entries are converted, so that an unreadable one changes nothing.
local META, OWNER, JOBS, WORKERS, FACTS = unpack(KEYS, 1, 5)
local DATA, LENT, DISPATCHERS, FINISHED = KEYS[7], KEYS[9], KEYS[10], KEYS[15]

if redis.call('HGET', META, 'format') ~= '1' then return {'ok'} end
local time = redis.call('TIME')
if redis.call('ZCOUNT', DISPATCHERS, '(' .. time[1], '+inf') > 0 then return {'ok'} end

local jobs, workers, facts = {}, {}, {}
local old = {}

local function add(list, id, text)
  list[#list + 1] = id
  list[#list + 1] = text
end

local function job_text(id, job, data)
  local parts = {
    '{"id":', cjson.encode(id), ',"data":', data, ',"submitted_at":', cjson.encode(job.submitted_at),
    ',"ticket":', job.ticket,
  }
  local function member(name, text)
    if text then parts[#parts + 1] = ',"' .. name .. '":' .. text end
  end
  if tonumber(job.place) ~= tonumber(job.ticket) then member('place', job.place) end
  if job.state ~= 'waiting' then member('state', '"' .. job.state .. '"') end
  member('hold', job.hold)
  member('former', job.former)
  if job.spent then
    local spent = {}
    for url in string.gmatch(job.spent, '[^\n]+') do spent[#spent + 1] = cjson.encode(url) end
    member('spent', '[' .. table.concat(spent, ',') .. ']')
  end
  if job.attempt ~= '0' then member('attempt', job.attempt) end
  if job.refusals ~= '0' then member('refusals', job.refusals) end
  member('finished_s', job.finished_s)
  if job.reason then member('reason', cjson.encode(job.reason)) end
  member('result', job.result)
  return table.concat(parts) .. '}'
end

for _, key in ipairs({FINISHED, JOBS}) do -- JOBS last: a job in both was put back, and waits
  local entries = redis.call('HGETALL', key)
  for index = 1, #entries, 2 do
    local id = entries[index]
    local job, data = cjson.decode(entries[index + 1]), redis.call('HGET', DATA, id)
    if not data then return {'refused', DATA .. ' has nothing for job ' .. id} end
    if not job.ticket or not job.place or not job.state then
      return {'refused', key .. ' has no job at ' .. id}
    end
    old[id] = job
    add(jobs, id, job_text(id, job, data))
  end
end

-- A worker lent to a job is used up if the job reached it; version 0.1 decided so at a restart.
local function is_used_up(url, job)
  if not job or job.holder ~= url then return false end
  if job.state == 'waiting' or job.state == 'assigned' then
    return cjson.decode(job.hold).stage == 'confirmed'
  end
  return true
end

local lent = {}
local entries = redis.call('HGETALL', LENT)
for index = 1, #entries, 2 do lent[entries[index]] = string.match(entries[index + 1], ' (%S+)$') end
entries = redis.call('HGETALL', WORKERS)
for index = 1, #entries, 2 do
  local url, worker = entries[index], cjson.decode(entries[index + 1])
  if not worker.place or not worker.stored then
    return {'refused', WORKERS .. ' has no worker at ' .. url}
  end
  if not (lent[url] and is_used_up(url, old[lent[url]])) then
    add(workers, url, '{"place":' .. worker.place .. ',' .. string.sub(worker.stored, 2))
  end
end

local ticket, paused, secret = unpack(redis.call('HMGET', META, 'last_ticket', 'paused', 'secret'))
if ticket then add(facts, 'last_ticket', ticket) end
if paused == '1' then add(facts, 'paused', 'true') end
if secret then add(facts, 'secret', cjson.encode(secret)) end

local function put(key, list)
  for first = 1, #list, 1000 do
    redis.call('HSET', key, unpack(list, first, math.min(first + 999, #list)))
  end
end

for _, key in ipairs(KEYS) do redis.call('DEL', key) end
put(JOBS, jobs)
put(WORKERS, workers)
put(FACTS, facts)
redis.call('HSET', META, 'format', ARGV[1])
return {'ok', #jobs / 2, #workers / 2}
