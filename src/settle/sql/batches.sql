-- The stored batches that no run has settled yet, at most 1,000 of each partition, in order.
--
-- {settled} is the condition that picks what lies behind the positions: whole numbers only, written by the program, so that the
-- primary key can be used.
SELECT log_epoch, log_partition, from_offset, max(to_offset) AS end_offset, max(records) AS record_count
FROM ingest_batches
WHERE NOT ({settled})
GROUP BY log_epoch, log_partition, from_offset
ORDER BY log_epoch, log_partition, from_offset
LIMIT 1000 BY log_epoch, log_partition
