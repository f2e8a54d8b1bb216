-- Ranges between batches that are recorded as whole, and after the last one: nothing there is known to be stored. The beginning of an
-- earlier life of the log isn't known; the present one's begins where the log did.
SELECT log_epoch, log_partition, gap_from, gap_to, toUInt8(place = 1) AS is_first
FROM (
    SELECT log_epoch, log_partition, from_offset AS gap_to,
        max(to_offset) OVER (PARTITION BY log_epoch, log_partition ORDER BY from_offset, to_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
            AS gap_from,
        row_number() OVER (PARTITION BY log_epoch, log_partition ORDER BY from_offset, to_offset) AS place
    FROM ingest_batches FINAL
    UNION ALL
    SELECT log_epoch, log_partition, toUInt64(18446744073709551615), max(to_offset), toUInt64(2)
    FROM ingest_batches GROUP BY log_epoch, log_partition
)
WHERE gap_from < gap_to
ORDER BY log_epoch, log_partition, gap_from
LIMIT 100000
