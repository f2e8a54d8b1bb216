-- Of each group of repeats that the run touches, the earliest conversion that the run doesn't join anew. When conversions come to a
-- group or leave it, no other of the rest can change its place.
--
-- A group is (kind, site, goal, click's time, seq and node, order): kind 1 is of a click, which only browsers' reports are in; 2 of an
-- order or transaction, whose key has the goal in it. The first that edges took counts, a server's before any browser's. Touched are
-- those that conversions of the run are in, and those that they were in before it.
INSERT INTO settle_rows (version, step, site, conversion_time, conversion_seq, conversion_node, event_type, limited, goal, order_id,
    basis, click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing, affiliate, offer,
    repeat_of, known_time, own_key)
SELECT {version:UInt64}, 'other', site, conversion_time, conversion_seq, conversion_node, event_type, limited, goal, order_id,
    basis, click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing, affiliate, offer,
    repeat_of, known_time, own_key
FROM (
    SELECT *, arrayJoin([
        if(limited = 1, (1, site, toString(goal), click_time, click_seq, click_node, ''), (1, site, '', toDateTime64(0, 3, 'UTC'), 0, 0, '')),
        (2, site, '', toDateTime64(0, 3, 'UTC'), 0, 0, order_id)]) AS circle
    FROM conversion_clicks FINAL
    WHERE limited AND event_type != 'conversion_status'
      AND (site, conversion_time, conversion_seq, conversion_node) IN (
        SELECT site, conversion_time, conversion_seq, conversion_node FROM conversion_clicks
        WHERE conversion_time >= fromUnixTimestamp64Milli({first_ms:Int64} - {window_ms_max:Int64}, 'UTC')
          AND click_time IN (
            SELECT click_time FROM settle_rows WHERE version = {version:UInt64} AND limited = 1 AND click_time != toDateTime64(0, 3, 'UTC'))
        UNION ALL
        SELECT site, conversion_time, conversion_seq, conversion_node FROM conversion_clicks
        WHERE order_id IN (SELECT order_id FROM settle_rows WHERE version = {version:UInt64} AND limited AND order_id != ''))
      AND (site, conversion_time, conversion_seq, conversion_node) NOT IN (
        SELECT site, conversion_time, conversion_seq, conversion_node
        FROM settle_rows WHERE version = {version:UInt64} AND step = 'joined')
      AND circle IN (
        SELECT arrayJoin([
            if(limited = 1, (1, site, toString(goal), click_time, click_seq, click_node, ''), (1, site, '', toDateTime64(0, 3, 'UTC'), 0, 0, '')),
            (2, site, '', toDateTime64(0, 3, 'UTC'), 0, 0, order_id)])
        FROM settle_rows WHERE version = {version:UInt64} AND limited)
      AND (circle.4 != toDateTime64(0, 3, 'UTC') OR circle.7 != '')
    ORDER BY limited = 1, known_time, conversion_time, conversion_seq, conversion_node
    LIMIT 1 BY circle
)
LIMIT 1 BY site, conversion_time, conversion_seq, conversion_node
