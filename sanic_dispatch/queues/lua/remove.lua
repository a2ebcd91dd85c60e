-- Forget a record.
local queue = queues[asked.queue]
local earlier = told()
if earlier then return {'ok', 1, earlier.number} end
local record = record_of(queue, asked.id)
if not record then return {'ok', 0, 0} end
take_out(queue, asked.id, record)
if queue == jobs then call('HDEL', DATA, asked.id) end
return {'ok', 1, tell(asked.notes, queue.name, cjson.encode(record))}
