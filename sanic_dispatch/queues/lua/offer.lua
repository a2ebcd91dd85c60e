-- Take in a new job: held at once by the oldest worker if one is free and nothing waits before it,
-- else at the end of the line.
local earlier = told()
if earlier and earlier.kind == asked.notes[2][1] then
  local job = decoded(earlier.job)
  return {'pair', earlier.job, earlier.number, call('HGET', workers.records, job.holder) or ''}
end
if earlier then return {'ok', earlier.job, earlier.number, position(jobs, asked.id)} end
if is_known(jobs, asked.id) then return {'known'} end
local url = call('ZCARD', jobs.free) == 0 and not is_paused() and oldest(workers)
local job = at_end(jobs, asked.record)
call('HSET', DATA, asked.id, ARGV[2])
if not url then
  local stored = put(jobs, asked.id, job)
  local number = tell({asked.notes[1]}, 'job', stored, ARGV[2])
  return {'ok', stored, number, position(jobs, asked.id)}
end
local worker = record_of(workers, url)
local stored = put(jobs, asked.id, assign(job, url, worker, 'put'))
return {'pair', stored, tell(asked.notes, 'job', stored, ARGV[2]), cjson.encode(worker)}
