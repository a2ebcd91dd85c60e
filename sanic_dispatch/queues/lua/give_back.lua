-- A worker that was lent to a job which it has no longer is free again, if it may be paired.
local worker = record_of(workers, asked.id)
if call('HDEL', LENT, asked.id) == 1 and worker and worker.free == '1' then
  call('ZADD', workers.free, worker.place, asked.id)
end
return {'ok'}
