-- Which conversions of the run are repeats, and which others become or cease to be one because of them.
--
-- Conversions meet in two kinds of group: the same click and goal, the same order and goal. The earliest of a group is first in it;
-- one that is first in each of its groups counts. When conversions come to a group or leave it, then of the others only the
-- earliest can change its place: it is written anew (rejoined = 0), and the rest of the group is left alone.
INSERT INTO settle_rows (version, step, rejoined, site, conversion_time, conversion_seq, conversion_node, event_type, limited,
    goal, order_id, basis, click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing,
    affiliate, offer, repeat_of, found_by, payee, payee_offer, payee_click_time, payee_click_seq, payee_click_node, amount, currency)
WITH
    toDateTime64(0, 3, 'UTC') AS no_time,
    mine AS (
        SELECT *, (conversion_time, conversion_seq, conversion_node) AS member
        FROM settle_rows WHERE version = {version:UInt64} AND step = 'joined'
    ),
    limited_mine AS (SELECT site, member, goal, click_time, click_seq, click_node, order_id FROM mine WHERE limited),
    -- A group is (kind, site, goal, click's time, seq and node, order): kind 1 is of a click, 2 of an order. Touched are those
    -- that conversions of this run are in, and those that they were in before it.
    touched AS (
        SELECT arrayJoin([(1, site, goal, click_time, click_seq, click_node, ''), (2, site, goal, no_time, 0, 0, order_id)]) AS circle
        FROM (
            SELECT * FROM limited_mine
            UNION ALL
            SELECT site, (conversion_time, conversion_seq, conversion_node) AS member, goal, click_time, click_seq, click_node, order_id
            FROM conversion_clicks FINAL
            WHERE limited AND (site, conversion_time, conversion_seq, conversion_node) IN (
                SELECT site, member.1, member.2, member.3 FROM limited_mine)
        )
        WHERE circle.4 != no_time OR circle.7 != ''
    ),
    others AS (
        SELECT *, (conversion_time, conversion_seq, conversion_node) AS member
        FROM conversion_clicks FINAL
        WHERE limited
          AND (site, conversion_time, conversion_seq, conversion_node) IN (
            SELECT site, conversion_time, conversion_seq, conversion_node FROM conversion_clicks
            WHERE conversion_time >= (SELECT min(circle.4) FROM touched WHERE circle.1 = 1)
              AND click_time IN (SELECT circle.4 FROM touched WHERE circle.1 = 1)
            UNION ALL
            SELECT site, conversion_time, conversion_seq, conversion_node FROM conversion_clicks
            WHERE order_id IN (SELECT circle.7 FROM touched WHERE circle.1 = 2))
          AND (site, member) NOT IN (SELECT site, member FROM limited_mine)
    ),
    seats AS (
        SELECT *, min(member) OVER (PARTITION BY circle) AS first,
            minIf(member, rejoined = 0) OVER (PARTITION BY circle) AS first_other
        FROM (
            SELECT site, member, rejoined,
                arrayJoin([(1, site, goal, click_time, click_seq, click_node, ''), (2, site, goal, no_time, 0, 0, order_id)]) AS circle
            FROM (
                SELECT *, 1 AS rejoined FROM limited_mine
                UNION ALL
                SELECT site, member, goal, click_time, click_seq, click_node, order_id, 0 AS rejoined FROM others
            )
            WHERE circle IN (SELECT circle FROM touched)
        )
    ),
    -- A place that isn't known anew (an other's in a group that this run doesn't touch) keeps its old answer.
    places AS (
        SELECT site, member, rejoined,
            countIf(circle.1 = 1) > 0 AS click_known, maxIf(member != first, circle.1 = 1) AS repeats_click,
            countIf(circle.1 = 2) > 0 AS order_known, maxIf(member != first, circle.1 = 2) AS repeats_order
        FROM seats
        WHERE rejoined = 1 OR member = first_other
        GROUP BY site, member, rejoined
    ),
    paid AS (
        SELECT site, (conversion_time, conversion_seq, conversion_node) AS member, found_by,
            affiliate AS payee, offer AS payee_offer, click_time AS payee_click_time, click_seq AS payee_click_seq,
            click_node AS payee_click_node, amount, currency
        FROM payout_attribution FINAL
        WHERE (site, conversion_time, conversion_seq, conversion_node) IN (
            SELECT site, member.1, member.2, member.3 FROM places WHERE rejoined = 0)
    )
SELECT {version:UInt64}, 'ready', 1, site, conversion_time, conversion_seq, conversion_node, event_type, limited,
    goal, order_id, basis, click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing,
    affiliate, offer, repeats_click + 2 * repeats_order,
    found_by, payee, payee_offer, payee_click_time, payee_click_seq, payee_click_node, amount, currency
FROM mine LEFT JOIN (SELECT * FROM places WHERE rejoined = 1) AS place USING (site, member)
UNION ALL
SELECT {version:UInt64}, 'ready', 0, site, conversion_time, conversion_seq, conversion_node, event_type, limited,
    goal, order_id, basis, click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing,
    affiliate, offer,
    if(click_known, repeats_click, bitAnd(toUInt8(repeat_of), 1)) + 2 * if(order_known, repeats_order, bitShiftRight(toUInt8(repeat_of), 1)),
    found_by, payee, payee_offer, payee_click_time, payee_click_seq, payee_click_node, amount, currency
FROM others
INNER JOIN (SELECT * FROM places WHERE rejoined = 0) AS place USING (site, member)
INNER JOIN paid USING (site, member)
