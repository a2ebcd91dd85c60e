-- Jobs by what is known of them: each as stored, with its data. Nothing is changed.
local function ids_at(callbacks)
  local id = call('HGET', callbacks, asked.callback)
  return id and {id} or {}
end

local queue = asked.finished and finished or jobs
local ids = {}
if asked.id then
  ids = {asked.id}
elseif asked.key then
  ids = listed(jobs, asked.key)
elseif asked.instance then
  for _, key in ipairs(call('HKEYS', jobs.keys)) do
    if cjson.decode(key)[1] == asked.instance then
      for _, id in ipairs(listed(jobs, key)) do ids[#ids + 1] = id end
    end
  end
elseif asked.callback then
  ids = ids_at(jobs.callbacks)
  if #ids == 0 then queue, ids = finished, ids_at(finished.callbacks) end
end
local found = {'ok'}
for _, id in ipairs(ids) do
  local stored = call('HGET', queue.records, id)
  if stored then
    found[#found + 1] = stored
    found[#found + 1] = call('HGET', DATA, id)
  end
end
return found
