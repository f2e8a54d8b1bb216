-- Where settling has come, for every known partition: a slower run that was overtaken finds its own positions older, and loses.
INSERT INTO settle_positions (log_epoch, log_partition, next_offset, version)
SELECT place.1, place.2, place.3, {version:UInt64}
FROM (
    SELECT arrayJoin(arrayZip({end_epochs:Array(UInt64)}, {end_partitions:Array(UInt16)}, {end_offsets:Array(UInt64)})) AS place
)
