-- What all scripts share. It stands before each of them, so KEYS and ARGV are the same everywhere:
-- all keys, in the order of redis_link.KEYS, then the call's parameters as JSON, then a job's data.
--
-- A record is a flat object of texts: Lua's numbers would not keep all digits. Those of both queues
-- have place, version, free ("1" or "0") and key; a job also has callbacks and spent (a line each),
-- holder (the worker's callback) and under_way.

local META, EVENTS, DATA, OWNERS, LENT, DISPATCHERS = unpack(KEYS, 1, 6)

local jobs = {
  name = 'job', records = KEYS[7], line = KEYS[8], free = KEYS[9], keys = KEYS[10],
  callbacks = KEYS[11],
}
local finished = {records = KEYS[12], line = KEYS[13], callbacks = KEYS[14]}
local workers = {
  name = 'worker', records = KEYS[15], line = KEYS[16], free = KEYS[17], keys = KEYS[18],
}
local queues = {jobs = jobs, workers = workers}

local FORMAT = '1'
local TAKEN = ':taken' -- behind the id of a dispatcher, where it has that from one that died
local LOOKED_BACK = 2000 -- events; whoever repeats a call does so within seconds
local TYPES = {
  'hash', 'stream', 'hash', 'hash', 'hash', 'zset',
  'hash', 'zset', 'zset', 'hash', 'hash',
  'hash', 'zset', 'hash',
  'hash', 'zset', 'zset', 'hash',
}

local call = redis.call
local asked = cjson.decode(ARGV[1])

local function text(number)
  return string.format('%.17g', number)
end

local function plus_one(number)
  return string.format('%d', tonumber(number) + 1)
end

local function now_s()
  local time = call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end

-- The dispatcher that has something, by the word of OWNERS or LENT.
local function taken_by(owner)
  return string.match(owner, '^[^:]+')
end

-- ---- places

-- The next number that can be told from this one.
local function after(number)
  if number == 0 then return 2 ^ -1074 end
  local mantissa, exponent = math.frexp(number)
  if mantissa == -0.5 then exponent = exponent - 1 end
  return number + 2 ^ (exponent - 53)
end

local function last_place(queue)
  return tonumber(call('HGET', META, queue.name .. '_place') or '0')
end

-- The place, or the one right behind whoever stands there.
local function vacant(queue, id, place)
  while true do
    local there = call('ZRANGEBYSCORE', queue.line, text(place), text(place), 'LIMIT', 0, 1)[1]
    if not there or there == id then return place end
    place = after(place)
  end
end

-- ---- records, and what finds them

local function decoded(stored)
  return stored and cjson.decode(stored)
end

local function record_of(queue, id)
  return decoded(call('HGET', queue.records, id))
end

local function lines(joined)
  return string.gmatch(joined or '', '[^\n]+')
end

local function listed(queue, key)
  return decoded(call('HGET', queue.keys, key)) or {}
end

local function note(queue, id, record)
  for url in lines(record.callbacks) do call('HSET', queue.callbacks, url, id) end
  if record.key and queue.keys then
    local ids = listed(queue, record.key)
    ids[#ids + 1] = id
    call('HSET', queue.keys, record.key, cjson.encode(ids))
  end
end

local function forget(queue, id, record)
  for url in lines(record.callbacks) do
    if call('HGET', queue.callbacks, url) == id then call('HDEL', queue.callbacks, url) end
  end
  if record.key and queue.keys then
    local ids = {}
    for _, each in ipairs(listed(queue, record.key)) do
      if each ~= id then ids[#ids + 1] = each end
    end
    if #ids > 0 then
      call('HSET', queue.keys, record.key, cjson.encode(ids))
    else
      call('HDEL', queue.keys, record.key)
    end
  end
end

-- The worker in line that a job names as its holder is lent to it: it is hidden. Whoever changed
-- the job last answers for it.
local function lend_holder(id, job)
  local url = job and job.holder
  if not url then return end
  if call('ZREM', workers.free, url) == 1 or call('HEXISTS', LENT, url) == 1 then
    call('HSET', LENT, url, asked.by .. ' ' .. id)
  end
end

-- Store a record at its place, in the place of the one that was there. Returns it as stored.
local function put(queue, id, record)
  local before = record_of(queue, id)
  if before then forget(queue, id, before) end
  local place = vacant(queue, id, tonumber(record.place))
  record.place = text(place)
  if place > last_place(queue) then call('HSET', META, queue.name .. '_place', record.place) end
  local stored = cjson.encode(record)
  call('HSET', queue.records, id, stored)
  call('ZADD', queue.line, record.place, id)
  if record.free == '1' then
    call('ZADD', queue.free, record.place, id)
  else
    call('ZREM', queue.free, id)
  end
  note(queue, id, record)
  if queue == workers then
    call('HDEL', LENT, id)
  elseif record.under_way == '1' then
    call('HSET', OWNERS, id, asked.by)
  else
    call('HDEL', OWNERS, id)
  end
  if queue == jobs then
    lend_holder(id, before)
    lend_holder(id, record)
  end
  return stored
end

-- Take a record out of its queue; a job's data stays.
local function take_out(queue, id, record)
  forget(queue, id, record)
  call('HDEL', queue.records, id)
  call('ZREM', queue.line, id)
  call('ZREM', queue.free, id)
  if queue == workers then
    call('HDEL', LENT, id)
  else
    call('HDEL', OWNERS, id)
    lend_holder(id, record)
  end
end

local function last_ticket()
  return tonumber(call('HGET', META, 'last_ticket') or '0')
end

local function note_ticket(ticket)
  if ticket > last_ticket() then
    call('HSET', META, 'last_ticket', string.format('%d', ticket))
  end
end

-- A new record, with the number and the place that it gets behind all others.
local function at_end(queue, record)
  if queue == workers then
    record.place = text(last_place(queue) + 1)
    return record
  end
  local ticket = tonumber(record.ticket)
  if ticket == 0 then ticket = last_ticket() + 1 end
  note_ticket(ticket)
  record.ticket = string.format('%d', ticket)
  record.place = text(math.max(ticket, after(last_place(queue))))
  return record
end

local function is_known(queue, id)
  if call('HEXISTS', queue.records, id) == 1 then return true end
  return queue == jobs and call('HEXISTS', finished.records, id) == 1
end

local function position(queue, id)
  local rank = call('ZRANK', queue.free, id)
  return rank and rank + 1 or 0
end

-- ---- pairing

local function is_paused()
  return call('HGET', META, 'paused') == '1'
end

local function oldest(queue)
  return call('ZRANGE', queue.free, 0, 0)[1]
end

-- What a hold says of a worker.
local function named(worker)
  if worker.version == '0' then return worker.stored end
  return string.sub(worker.stored, 1, -2) .. ',"version":' .. worker.version .. '}'
end

-- lifecycle.assign of a job that is free.
local function assign(job, url, worker, way)
  job.state, job.free, job.under_way, job.former = 'assigned', '0', '1', nil
  job.hold = '{"worker":' .. named(worker) .. ',"way":"' .. way
    .. '","stage":"under way","since":' .. asked.now .. '}'
  job.holder, job.key = url, worker.key
  job.attempt = plus_one(job.attempt)
  job.callbacks = job.spent and (job.spent .. '\n' .. url) or url
  return job
end

-- ---- the finished

local function let_go(id)
  local job = record_of(finished, id)
  if job then forget(finished, id, job) end
  call('HDEL', finished.records, id)
  call('ZREM', finished.line, id)
end

local function keep(id, job)
  local stored = cjson.encode(job)
  call('HSET', finished.records, id, stored)
  call('ZADD', finished.line, call('HINCRBY', META, 'last_finished', 1), id)
  note(finished, id, job)
  return stored
end

-- Let go of those that are too many, or that finished too long before this one.
local function let_go_of_surplus(newest)
  local oldest_s = tonumber(newest.finished_s) - asked.keep_s
  while true do
    local id = call('ZRANGE', finished.line, 0, 0)[1]
    if not id then return end
    local job = record_of(finished, id)
    local is_fresh = job and tonumber(job.finished_s) >= oldest_s
    if is_fresh and call('ZCARD', finished.line) <= asked.kept then return end
    let_go(id)
    if call('HEXISTS', jobs.records, id) == 0 then call('HDEL', DATA, id) end
  end
end

-- ---- events

-- Append an event for each note; returns the number of the last one.
local function tell(notes, kind_of_record, stored, data)
  local number = call('HGET', META, 'number')
  for _, one in ipairs(notes) do
    number = call('HINCRBY', META, 'number', 1)
    local fields = {'kind', one[1], 'at', one[2], 'reason', one[3], 'by', asked.by,
                    'token', asked.token}
    if stored then
      fields[#fields + 1] = kind_of_record
      fields[#fields + 1] = stored
    end
    if data and #data <= asked.most_data then
      fields[#fields + 1] = 'data'
      fields[#fields + 1] = data
    end
    call('XADD', EVENTS, 'MAXLEN', '~', asked.kept_events, number .. '-0', unpack(fields))
  end
  return tonumber(number)
end

local function fields_of(entry)
  local fields = {}
  for index = 1, #entry[2], 2 do fields[entry[2][index]] = entry[2][index + 1] end
  return fields
end

-- What an earlier try of this very call told, where its answer was lost: its last event.
local function told()
  if not asked.again then return nil end
  for _, entry in ipairs(call('XREVRANGE', EVENTS, '+', '-', 'COUNT', LOOKED_BACK)) do
    local fields = fields_of(entry)
    if fields.token == asked.token then
      fields.number = tonumber(string.match(entry[1], '^%d+'))
      return fields
    end
  end
  return nil
end

-- ---- lists

-- The records of these ids, as stored; in pieces, since unpack has its limit.
local function all(records, ids)
  local found = {}
  for first = 1, #ids, 1000 do
    local last = math.min(first + 999, #ids)
    for _, stored in ipairs(call('HMGET', records, unpack(ids, first, last))) do
      found[#found + 1] = stored
    end
  end
  return found
end

local function in_line(queue)
  return all(queue.records, call('ZRANGE', queue.line, 0, -1))
end
