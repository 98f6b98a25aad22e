-- source why text size: keeps what was taken off a queue or the journal and can't be used.
bury(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
return {'ok'}
