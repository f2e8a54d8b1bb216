-- Older leads that the same submission, stored only now, came shortly before: they become its repeats. {new_rows}: see look.sql; the columns: see picked.sql.
INSERT INTO settle_conversions ({columns})
WITH
    fromUnixTimestamp64Milli({first_ms:Int64}, 'UTC') AS first_lead,
    fromUnixTimestamp64Milli({last_ms:Int64} + {repeat_window_ms:Int64}, 'UTC') AS last_reach
SELECT {picked}
FROM conversions
WHERE event_type = 'lead' AND event_time >= first_lead AND event_time <= last_reach AND NOT ({new_rows})
  AND arrayExists((epoch, part, end) -> log_epoch = epoch AND log_partition = part AND log_offset < end,
    {end_epochs:Array(UInt64)}, {end_partitions:Array(UInt16)}, {end_offsets:Array(UInt64)})
  AND (site, event_time, id_seq, id_node) IN (
    SELECT site, event_time, id_seq, id_node
    FROM conversions AS older
    ASOF INNER JOIN (
        SELECT site, submission_key, event_time AS again_time FROM settle_conversions
        WHERE version = {version:UInt64} AND submission_key != 0
    ) AS fresh ON older.site = fresh.site AND older.submission_key = fresh.submission_key AND older.event_time >= fresh.again_time
    WHERE older.event_type = 'lead' AND older.event_time >= first_lead AND older.event_time <= last_reach
      AND older.submission_key IN (
        SELECT submission_key FROM settle_conversions WHERE version = {version:UInt64} AND submission_key != 0)
      AND older.event_time <= fresh.again_time + toIntervalMillisecond({repeat_window_ms:Int64}))
