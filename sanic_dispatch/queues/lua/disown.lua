-- What calls of this dispatcher did whose answers were lost for so long that nobody waits for them
-- any more. It is marked as taken over, as if whoever called had died. Returns the tokens of those
-- that were carried out.
--
-- Only what nobody has changed since is marked, and only a hand-over that such a call has begun:
-- of that nothing went out. One whose call was answered may be on the wire.
local tokens = {}
for _, token in ipairs(asked.tokens) do tokens[token] = true end
local taken = asked.by .. TAKEN

local function disown(kind, told)
  local now = record_of(jobs, told.id) or record_of(finished, told.id)
  if not now or now.version ~= told.version then return end
  if kind == 'job.assigned' and call('HGET', OWNERS, told.id) == asked.by then
    call('HSET', OWNERS, told.id, taken)
  end
  local entries = call('HGETALL', LENT)
  for index = 1, #entries, 2 do
    if entries[index + 1] == asked.by .. ' ' .. told.id then
      call('HSET', LENT, entries[index], taken .. ' ' .. told.id)
    end
  end
end

local answer = {'ok'}
for _, entry in ipairs(call('XREVRANGE', EVENTS, '+', '-', 'COUNT', asked.kept_events)) do
  local fields = fields_of(entry)
  if tokens[fields.token] then
    answer[#answer + 1] = fields.token
    if fields.job then disown(fields.kind, decoded(fields.job)) end
  end
end
return answer
