-- Changes of the one dispatcher that has the queues here alone, all of them or none.
if call('HGET', META, 'alone') ~= asked.by then return {'lost'} end

local function is_kept(id)
  return call('HEXISTS', jobs.records, id) == 1 or call('HEXISTS', finished.records, id) == 1
end

local function drop(shelf, id)
  if shelf == 'finished' then return let_go(id) end
  local record = record_of(queues[shelf], id)
  if record then take_out(queues[shelf], id, record) end
end

local function store(shelf, id, change)
  if shelf ~= 'workers' then note_ticket(tonumber(change.record.ticket)) end
  if shelf ~= 'finished' then return put(queues[shelf], id, change.record) end
  let_go(id)
  call('HSET', finished.records, id, cjson.encode(change.record))
  call('ZADD', finished.line, change.place, id)
  note(finished, id, change.record)
end

for index, change in ipairs(asked.changes) do
  if change.shelf == 'facts' then
    call('HSET', META, change.id, change.value)
  elseif change.record then
    store(change.shelf, change.id, change)
    if change.shelf ~= 'workers' then call('HSET', DATA, change.id, ARGV[1 + index]) end
  else
    drop(change.shelf, change.id)
  end
end
for _, change in ipairs(asked.changes) do
  if change.shelf ~= 'facts' and not is_kept(change.id) then call('HDEL', DATA, change.id) end
end
return {'ok'}
