-- key kind source: buries the value of a key if it has another Redis type than `kind`.
local got = call('TYPE', ARGV[1]).ok
if got == 'none' or got == ARGV[2] then return {0} end
displace(ARGV[1], got, ARGV[2], ARGV[3])
return {1}
