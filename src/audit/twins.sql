-- Events of one day that stand more than once, at one place in the log or at several, by minute and partition.
SELECT toInt64(toUnixTimestamp(toStartOfMinute(first_time))) * 1000 AS minute_ms, epoch, partition, min(offset) AS from_offset,
    max(offset) + 1 AS to_offset, toUInt64(sum(extra)) AS extra_rows
FROM (
    SELECT min(event_time) AS first_time, any(log_epoch) AS epoch, any(log_partition) AS partition, max(log_offset) AS offset,
        count() - 1 AS extra
    FROM events
    WHERE event_time >= toDateTime64({day:String}, 3, 'UTC') AND event_time < toDateTime64({day:String}, 3, 'UTC') + toIntervalDay(1)
    GROUP BY site, visitor, event_time, id_seq, id_node
    HAVING count() > 1
)
GROUP BY minute_ms, epoch, partition
ORDER BY minute_ms, epoch, partition
LIMIT 10000
SETTINGS max_bytes_before_external_group_by = 268435456
