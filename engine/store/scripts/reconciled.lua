-- server epoch name: records that the data of this server process were compared with the
-- archive, and to which installation they belong.
call('SET', S .. 'installation', ARGV[3])
call('SET', S .. 'epoch', ARGV[2])
call('SET', '$RECONCILED', ARGV[1])
return {'ok'}
