-- Of each group of repeats that the run touches, the earliest conversion that the run doesn't join anew. When conversions come to a
-- group or leave it, no other of the rest can change its place.
--
-- A group is (kind, site, goal, click's time, seq and node, order): kind 1 is of a click, 2 of an order. Touched are those that
-- conversions of the run are in, and those that they were in before it.
INSERT INTO settle_rows (version, step, site, conversion_time, conversion_seq, conversion_node, event_type, limited, goal, order_id,
    basis, click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing, affiliate, offer,
    repeat_of, found_by, payee, payee_offer, payee_click_time, payee_click_seq, payee_click_node, amount, currency)
SELECT {version:UInt64}, 'other', other.site, other.conversion_time, other.conversion_seq, other.conversion_node, other.event_type,
    limited, goal, order_id, basis, click_seen, other.click_time, other.click_seq, other.click_node, channel, campaign, ad, creative,
    placement, link, mailing, other.affiliate, other.offer, repeat_of,
    paid.found_by, paid.affiliate, paid.offer, paid.click_time, paid.click_seq, paid.click_node, paid.amount, paid.currency
FROM (
    SELECT *, arrayJoin([
        (1, site, goal, click_time, click_seq, click_node, ''),
        (2, site, goal, toDateTime64(0, 3, 'UTC'), 0, 0, order_id)]) AS circle
    FROM conversion_clicks FINAL
    WHERE limited
      AND (site, conversion_time, conversion_seq, conversion_node) IN (
        SELECT site, conversion_time, conversion_seq, conversion_node FROM conversion_clicks
        WHERE conversion_time >= fromUnixTimestamp64Milli({first_ms:Int64} - {window_ms_max:Int64}, 'UTC')
          AND click_time IN (
            SELECT click_time FROM settle_rows WHERE version = {version:UInt64} AND limited AND click_time != toDateTime64(0, 3, 'UTC'))
        UNION ALL
        SELECT site, conversion_time, conversion_seq, conversion_node FROM conversion_clicks
        WHERE order_id IN (SELECT order_id FROM settle_rows WHERE version = {version:UInt64} AND limited AND order_id != ''))
      AND (site, conversion_time, conversion_seq, conversion_node) NOT IN (
        SELECT site, conversion_time, conversion_seq, conversion_node
        FROM settle_rows WHERE version = {version:UInt64} AND step = 'joined')
      AND circle IN (
        SELECT arrayJoin([
            (1, site, goal, click_time, click_seq, click_node, ''),
            (2, site, goal, toDateTime64(0, 3, 'UTC'), 0, 0, order_id)])
        FROM settle_rows WHERE version = {version:UInt64} AND limited)
      AND (circle.4 != toDateTime64(0, 3, 'UTC') OR circle.7 != '')
    ORDER BY conversion_time, conversion_seq, conversion_node
    LIMIT 1 BY circle
) AS other
INNER JOIN payout_attribution AS paid FINAL
    ON other.site = paid.site AND other.conversion_time = paid.conversion_time
   AND other.conversion_seq = paid.conversion_seq AND other.conversion_node = paid.conversion_node
LIMIT 1 BY other.site, other.conversion_time, other.conversion_seq, other.conversion_node
