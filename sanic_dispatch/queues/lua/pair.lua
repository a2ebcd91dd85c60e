-- Hold the oldest free job and the oldest free worker, where there are both.
local earlier = told()
if earlier then
  local job = decoded(earlier.job)
  return {'pair', earlier.job, earlier.number, call('HGET', workers.records, job.holder) or '',
          call('HGET', DATA, job.id)}
end
local id, url = oldest(jobs), oldest(workers)
if not id or not url or is_paused() then return {'none'} end
local worker = record_of(workers, url)
local job = assign(record_of(jobs, id), url, worker, 'put')
job.version = plus_one(job.version)
local stored = put(jobs, id, job)
local number = tell(asked.notes, 'job', stored)
return {'pair', stored, number, cjson.encode(worker), call('HGET', DATA, id)}
