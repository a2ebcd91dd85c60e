-- Move a finished job back to its own place in the queue.
local earlier = told()
if earlier then return {'ok', earlier.job, earlier.number} end
local kept = record_of(finished, asked.id)
if not kept then
  return {call('HEXISTS', jobs.records, asked.id) == 1 and 'outdated' or 'unknown'}
end
if kept.version ~= asked.record.version then return {'outdated'} end
asked.record.version = plus_one(kept.version)
let_go(asked.id)
local stored = put(jobs, asked.id, asked.record)
return {'ok', stored, tell(asked.notes, 'job', stored, call('HGET', DATA, asked.id))}
