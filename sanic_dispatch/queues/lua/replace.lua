-- Store a changed record, if it is still the one that was changed.
local queue = queues[asked.queue]
local earlier = told()
if earlier then return {'ok', earlier[queue.name], earlier.number} end
local before = record_of(queue, asked.id)
if not before or before.version ~= asked.record.version then return {'outdated'} end
asked.record.version = plus_one(before.version)
local stored = put(queue, asked.id, asked.record)
return {'ok', stored, tell(asked.notes, queue.name, stored)}
