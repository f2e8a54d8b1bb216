-- What the new ranges hold of clicks: how many, and the bounds of their times. With the bounds ClickHouse skips months and days of
-- conversions before it looks at keys.
--
-- {new_rows} is the condition on log_epoch, log_partition and log_offset that picks the new ranges: whole numbers only, written by
-- the program, so that the minmax index on log_offset can be used.
SELECT
    countIf(kind = 'click_id') AS clicks,
    toUnixTimestamp64Milli(min(event_time + toIntervalMillisecond(least(received_lag_ms, 0)))) AS first_ms,
    toUnixTimestamp64Milli(max(event_time + toIntervalMillisecond(greatest(received_lag_ms, 0)))) AS last_ms
FROM touch_keys
WHERE {new_rows}
