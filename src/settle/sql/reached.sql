-- Older conversions that a new click can reach. {new_rows}: see look.sql; the columns: see picked.sql.
--
-- A conversion that is stored but not yet in a settled range waits for its own range.
INSERT INTO settle_conversions ({columns})
WITH
    fromUnixTimestamp64Milli({first_ms:Int64}, 'UTC') AS first_click,
    fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC') AS last_click,
    greatest(last_click + toIntervalMillisecond({window_ms_max:Int64}), toStartOfDay(last_click) + toIntervalDay(1)) AS last_reach
SELECT {picked}
FROM conversions
WHERE event_time >= toStartOfDay(first_click) AND event_time <= last_reach AND NOT ({new_rows})
  AND arrayExists((epoch, part, end) -> log_epoch = epoch AND log_partition = part AND log_offset < end,
    {end_epochs:Array(UInt64)}, {end_partitions:Array(UInt16)}, {end_offsets:Array(UInt64)})
  AND (
    -- It named the click before the click was stored.
    (parent_click != 0 AND (site, parent_click) IN (
        SELECT site, key FROM touch_keys WHERE kind = 'click_id' AND ({new_rows})))
    -- It told the network's own id of a click that was stored later.
    OR (external_click_id != '' AND (site, reinterpretAsUInt128(substring(SHA256(external_click_id), 1, 16))) IN (
        SELECT site, key FROM touch_keys WHERE kind = 'network_click_id' AND ({new_rows})))
    -- Any click of the same browser's day, before or after it: it can make the only visitor one of two.
    OR (site, toDate(event_time), toUInt128(if(visitor_basis = 'daily_hash', toUInt64(visitor), day_hash))) IN (
        SELECT site, toDate(event_time), if(kind = 'day_hash', key, visitor) FROM touch_keys
        WHERE (kind = 'day_hash' OR (visitor != 0 AND bitShiftRight(visitor, 64) = 0)) AND ({new_rows}))
    -- A click of its visitor came late. The last new click before the conversion tells.
    OR (visitor_basis = 'cookie' AND (site, event_type, event_time, visitor, id_seq, id_node) IN (
        SELECT site, event_type, event_time, visitor, id_seq, id_node
        FROM conversions AS older
        ASOF INNER JOIN (
            SELECT site, visitor, event_time AS click_time FROM touch_keys WHERE kind = 'click_id' AND ({new_rows})
        ) AS fresh ON older.site = fresh.site AND older.visitor = fresh.visitor AND older.event_time >= fresh.click_time
        WHERE older.event_time >= first_click AND older.event_time <= last_reach
          AND (older.site, older.visitor) IN (SELECT site, visitor FROM touch_keys WHERE kind = 'click_id' AND ({new_rows}))
          AND older.event_time <= fresh.click_time + toIntervalMillisecond({window_ms_max:Int64})))
  )
