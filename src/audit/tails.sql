-- Rows of earlier lives of the log behind all that is recorded as whole: the last batch of a log that was lost was begun and never closed.
SELECT log_epoch AS epoch, log_partition AS partition, recorded_to AS from_offset, max(log_offset) + 1 AS to_offset,
    uniqExact(log_offset) AS records, toInt64(min(toUnixTimestamp64Milli(event_time))) AS first_ms,
    toInt64(max(toUnixTimestamp64Milli(event_time))) AS last_ms
FROM events
LEFT JOIN (
    SELECT log_epoch, log_partition, max(to_offset) AS recorded_to FROM ingest_batches GROUP BY log_epoch, log_partition
) AS recorded USING (log_epoch, log_partition)
WHERE log_offset >= recorded_to
GROUP BY epoch, partition, from_offset
ORDER BY epoch, partition
LIMIT 1000
