-- Where settling has come, for every known partition: a slower run that was overtaken finds its own positions older, and loses.
-- A position that went back meanwhile (something behind it was mended, see src/replay) stays there: the next run settles it again.
INSERT INTO settle_positions (log_epoch, log_partition, next_offset, version)
SELECT place.1, place.2, place.3, {version:UInt64}
FROM (
    SELECT arrayJoin(arrayZip({end_epochs:Array(UInt64)}, {end_partitions:Array(UInt16)}, {end_offsets:Array(UInt64)},
        {start_offsets:Array(UInt64)})) AS place, place.1 AS log_epoch, place.2 AS log_partition
) AS planned
LEFT JOIN (SELECT log_epoch, log_partition, next_offset FROM settle_positions FINAL) AS standing USING (log_epoch, log_partition)
WHERE standing.next_offset >= place.4 AND {not_overtaken}
