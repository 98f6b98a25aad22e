-- run: returns the current generation of a run, its status, journal number and program,
-- and whether its keys were removed.
local R = current(ARGV[1])
local got = call('HMGET', S .. 'r:' .. R, 'status', 'n', 'prog', 'gone')
local _, gen = split_key(R)
return {gen, unpack(got)}
