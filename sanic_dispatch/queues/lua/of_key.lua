-- Workers of a key, as stored. Nothing is changed.
return {'ok', unpack(all(workers.records, listed(workers, asked.key)))}
