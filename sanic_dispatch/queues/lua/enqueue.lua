-- Store a new record at the end of its queue.
local queue = queues[asked.queue]
local earlier = told()
if earlier then
  return {'ok', earlier[queue.name], earlier.number, position(queue, asked.id)}
end
if is_known(queue, asked.id) then return {'known'} end
if queue == jobs then call('HSET', DATA, asked.id, ARGV[2]) end
local stored = put(queue, asked.id, at_end(queue, asked.record))
local number = tell(asked.notes, queue.name, stored, queue == jobs and ARGV[2])
return {'ok', stored, number, position(queue, asked.id)}
