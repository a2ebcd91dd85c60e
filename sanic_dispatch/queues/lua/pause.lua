-- Store whether the dispatching is paused.
local earlier = told()
if earlier then return {'ok', earlier.number} end
call('HSET', META, 'paused', asked.paused)
return {'ok', tell(asked.notes)}
