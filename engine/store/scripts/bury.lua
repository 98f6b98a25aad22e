-- source why text size: stores a dead letter.
bury(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
return {'ok'}
