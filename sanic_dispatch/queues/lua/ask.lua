-- Take in a new worker: the oldest free job is held by it if no worker waits before it, else it
-- stands at the end of the line.
local earlier = told()
if earlier and earlier.job then
  local job = decoded(earlier.job)
  return {'job', earlier.job, earlier.number, call('HGET', DATA, job.id)}
end
if earlier then return {'ok', earlier.number} end
if is_known(workers, asked.id)
  or call('HEXISTS', jobs.callbacks, asked.id) == 1
  or call('HEXISTS', finished.callbacks, asked.id) == 1 then
  return {'known'}
end
local id = call('ZCARD', workers.free) == 0 and not is_paused() and oldest(jobs)
if not id then
  local stored = put(workers, asked.id, at_end(workers, asked.record))
  return {'ok', tell({asked.notes[1]}, 'worker', stored)}
end
local job = assign(record_of(jobs, id), asked.id, asked.record, 'answer')
job.version = plus_one(job.version)
local stored = put(jobs, id, job)
return {'job', stored, tell({asked.notes[2]}, 'job', stored), call('HGET', DATA, id)}
