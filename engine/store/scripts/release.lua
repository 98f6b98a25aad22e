-- upto limit: sends messages that wait for journal entries up to and including `upto`;
-- returns whether there may be more of them.
local ms, number = split_id(ARGV[1])
local waiting = S .. 'unarchived'
for _ = 1, tonumber(ARGV[2]) do
  local first = call('LINDEX', waiting, -1)
  if not first then return {0} end
  local id, list, queue, ticket, member, text = string.match(first, '^(.-)\n(.-)\n(.-)\n(.-)\n(.-)\n(.*)$')
  local its_ms, its_number = split_id(id)
  if its_ms > ms or (its_ms == ms and its_number > number) then return {0} end
  call('RPOP', waiting)
  call('ZADD', S .. 'd:' .. queue, ticket, member)
  call('SADD', S .. 'queues', queue)
  push(list, queue, text)
end
return {1}
