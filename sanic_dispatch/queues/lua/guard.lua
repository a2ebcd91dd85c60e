-- It stands before all scripts but begin.lua: what is there is ours, and of a form that we know.
if call('HGET', META, 'format') ~= FORMAT then return {'gone'} end
