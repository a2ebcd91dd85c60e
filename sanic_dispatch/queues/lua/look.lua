-- Everything, or the queues that are asked for, as of one moment. Nothing is changed.
local state = call('HMGET', META, 'epoch', 'number', 'paused')
local look = {'ok', state[1], tonumber(state[2]), state[3] or '0'}
look[5] = asked.jobs and in_line(jobs) or {}
look[6] = asked.finished and in_line(finished) or {}
look[7] = asked.workers and in_line(workers) or {}
return look
