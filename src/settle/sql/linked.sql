-- What the shop itself reported earlier, by pixel or by the API, of an order that another server now reports too: it moves to that one's
-- messages (see groups.sql). {new_rows}: see look.sql; the columns: see picked.sql.
INSERT INTO settle_conversions ({columns})
WITH
    told AS (
        SELECT site, is_shop AS by_shop, arrayJoin(numbers) AS number
        FROM settle_conversions WHERE version = {version:UInt64} AND limited = 2
    )
SELECT {picked}
FROM conversions
WHERE (order_id IN (SELECT number FROM told) OR transaction_id IN (SELECT number FROM told))
  AND NOT ({new_rows})
  AND arrayExists((epoch, part, end) -> log_epoch = epoch AND log_partition = part AND log_offset < end,
    {end_epochs:Array(UInt64)}, {end_partitions:Array(UInt16)}, {end_offsets:Array(UInt64)})
  AND event_type != 'lead'
  AND ((source_kind = 'pixel' AND (site, order_id) IN (SELECT site, number FROM told))
    OR (startsWith(source_profile, 'v1/') AND (
        (site, transaction_id) IN (SELECT site, number FROM told WHERE NOT by_shop)
        OR (site, order_id) IN (SELECT site, number FROM told WHERE NOT by_shop))))
