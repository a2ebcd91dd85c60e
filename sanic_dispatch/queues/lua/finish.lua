-- Move a job out of the queue, to the finished ones.
local earlier = told()
if earlier then return {'ok', earlier.job, earlier.number} end
local before = record_of(jobs, asked.id)
if not before or before.version ~= asked.record.version then return {'outdated'} end
asked.record.version = plus_one(before.version)
take_out(jobs, asked.id, before)
lend_holder(asked.id, asked.record)
local stored = keep(asked.id, asked.record)
let_go_of_surplus(asked.record)
return {'ok', stored, tell(asked.notes, 'job', stored)}
