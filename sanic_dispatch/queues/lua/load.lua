-- One kind of records for the one dispatcher that has them alone: each place, as stored, and data.
if asked.shelf == 'facts' then
  return {'ok', unpack(call('HMGET', META, 'last_ticket', 'paused', 'secret'))}
end
local queue = asked.shelf == 'finished' and finished or queues[asked.shelf]
local loaded = {'ok'}
local places = call('ZRANGE', queue.line, 0, -1, 'WITHSCORES')
for index = 1, #places, 2 do
  loaded[#loaded + 1] = places[index + 1]
  loaded[#loaded + 1] = call('HGET', queue.records, places[index])
  loaded[#loaded + 1] = call('HGET', DATA, places[index]) or ''
end
return loaded
