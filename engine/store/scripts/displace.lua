-- key kind source: takes away a value that is not of the type its key is read as.
local got = call('TYPE', ARGV[1]).ok
if got == 'none' or got == ARGV[2] then return {0} end
displace(ARGV[1], got, ARGV[2], ARGV[3])
return {1}
