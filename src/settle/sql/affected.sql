-- Which conversions a run settles: those of the new ranges, and older ones that a new click can reach.
--
-- {new_rows} is the condition on log_epoch, log_partition and log_offset that picks the new ranges: whole numbers only, written by
-- the program, so that the minmax index on log_offset can be used. A conversion that is stored but not yet in a settled range
-- waits for its own range.
INSERT INTO settle_conversions (version, site, event_type, event_time, id_seq, id_node, visitor, day_hash,
    parent_click, parent_link, parent_offer, parent_affiliate, limited, amount, currency, goal, order_id)
WITH
    new_clicks AS (
        SELECT site, key AS id, visitor, event_time AS click_time, event_time + toIntervalMillisecond(received_lag_ms) AS id_time
        FROM touch_keys
        WHERE kind = 'click_id' AND ({new_rows})
    ),
    -- Bounds over all new clicks: they let ClickHouse skip months and days of conversions before it looks at keys.
    (SELECT min(least(click_time, id_time)) FROM new_clicks) AS first_click,
    (SELECT max(greatest(click_time, id_time)) FROM new_clicks) AS last_click,
    (SELECT (toStartOfDay(min(event_time)), toStartOfDay(max(event_time)) + toIntervalDay(1))
        FROM touch_keys WHERE ({new_rows})) AS hashed_days,
    new_conversions AS (
        SELECT * FROM conversions WHERE {new_rows}
    ),
    -- The conversion named the click before the click was stored.
    named AS (
        SELECT * FROM conversions
        WHERE (site, parent_click) IN (SELECT site, id FROM new_clicks)
          AND event_time >= first_click AND event_time <= last_click + toIntervalMillisecond({window_ms_max:Int64})
    ),
    -- The click came late: its visitor had already converted.
    same_visitor AS (
        SELECT older.* FROM conversions AS older
        INNER JOIN (
            SELECT site, visitor, min(click_time) AS from_time, max(click_time) AS to_time
            FROM new_clicks WHERE visitor != 0 GROUP BY site, visitor
        ) AS reach ON older.site = reach.site AND older.visitor = reach.visitor
        WHERE older.visitor_basis = 'cookie'
          AND (older.site, older.visitor) IN (SELECT site, visitor FROM new_clicks WHERE visitor != 0)
          AND older.event_time >= first_click AND older.event_time <= last_click + toIntervalMillisecond({window_ms_max:Int64})
          AND older.event_time >= reach.from_time
          AND older.event_time <= reach.to_time + toIntervalMillisecond({window_ms_max:Int64})
    ),
    -- Any click of the same browser's day, before or after: it can make the only visitor one of two.
    same_day AS (
        SELECT * FROM conversions
        WHERE event_time >= hashed_days.1 AND event_time < hashed_days.2
          AND (site, toDate(event_time), toUInt128(if(visitor_basis = 'daily_hash', toUInt64(visitor), day_hash))) IN (
            SELECT site, toDate(event_time), if(kind = 'day_hash', key, visitor)
            FROM touch_keys
            WHERE ({new_rows}) AND (kind = 'day_hash' OR (visitor != 0 AND bitShiftRight(visitor, 64) = 0)))
    )
SELECT {version:UInt64}, site, event_type, event_time, id_seq, id_node,
    if(visitor_basis = 'cookie', visitor, 0),
    if(visitor_basis = 'daily_hash', toUInt64(visitor), day_hash),
    parent_click, parent_link, parent_offer, parent_affiliate,
    source_kind = 'pixel' AND event_type != 'lead',
    amount, currency, goal, order_id
FROM (
    SELECT * FROM new_conversions
    UNION ALL
    SELECT * FROM (
        SELECT * FROM named UNION ALL SELECT * FROM same_visitor UNION ALL SELECT * FROM same_day
    )
    WHERE arrayExists((epoch, part, end) -> log_epoch = epoch AND log_partition = part AND log_offset < end,
        {end_epochs:Array(UInt64)}, {end_partitions:Array(UInt16)}, {end_offsets:Array(UInt64)})
)
-- A row that stands twice until parts are merged is settled once.
LIMIT 1 BY site, event_time, id_seq, id_node
