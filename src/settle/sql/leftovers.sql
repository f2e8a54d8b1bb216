-- What a run left that was cut off, and that no later run may touch: rows with a version above that of the last finished run. They may build on less than is known by
-- now, so they are settled again. {new_rows}: see look.sql; the columns: see picked.sql.
INSERT INTO settle_conversions ({columns})
SELECT {picked}
FROM conversions
WHERE (site, event_time, id_seq, id_node) IN (
    SELECT site, conversion_time, conversion_seq, conversion_node FROM conversion_clicks
    WHERE version > (SELECT max(version) FROM settle_positions)
    UNION ALL
    SELECT site, conversion_time, conversion_seq, conversion_node FROM payout_attribution
    WHERE version > (SELECT max(version) FROM settle_positions))
  AND NOT ({new_rows})
  AND arrayExists((epoch, part, end) -> log_epoch = epoch AND log_partition = part AND log_offset < end,
    {end_epochs:Array(UInt64)}, {end_partitions:Array(UInt16)}, {end_offsets:Array(UInt64)})
  AND (site, event_time, id_seq, id_node) NOT IN (
    SELECT site, event_time, id_seq, id_node FROM settle_conversions WHERE version = {version:UInt64})
