-- Look whether what is there is ours, make what is missing, and begin a new epoch where the server
-- is not the one that it was: it may have forgotten what was written last.
for index, key in ipairs(KEYS) do
  local is = call('TYPE', key).ok
  if is ~= 'none' and is ~= TYPES[index] then
    return {'refused', key .. ' is a ' .. is .. ' where a ' .. TYPES[index] .. ' should be'}
  end
end
local format = call('HGET', META, 'format')
if format and format ~= FORMAT then
  return {'refused', META .. ' has format ' .. format .. ', this version knows ' .. FORMAT}
end
if not format then
  for _, key in ipairs(KEYS) do
    if call('EXISTS', key) == 1 then return {'refused', key .. ' is there without ' .. META} end
  end
  call('HSET', META, 'format', FORMAT, 'secret', asked.secret, 'number', '0')
end
if call('HGET', META, 'run') ~= asked.run then
  call('HSET', META, 'run', asked.run, 'epoch', asked.epoch)
end
return {'ok', call('HGET', META, 'epoch'), tonumber(call('HGET', META, 'number'))}
