-- Good-bye: what is still under way is for the others, at once.
call('ZADD', DISPATCHERS, 'XX', '0', asked.by)
for _, owner in ipairs(call('HVALS', OWNERS)) do
  if taken_by(owner) == asked.by then return {'ok'} end
end
for _, entry in ipairs(call('HVALS', LENT)) do
  if taken_by(string.match(entry, '^%S+')) == asked.by then return {'ok'} end
end
call('ZREM', DISPATCHERS, asked.by)
return {'ok'}
