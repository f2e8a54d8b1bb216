-- Which conversions are repeats: those that are not the earliest of each of their groups (see others.sql).
INSERT INTO settle_rows (version, step, rejoined, site, conversion_time, conversion_seq, conversion_node, event_type, limited,
    goal, order_id, basis, click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing,
    affiliate, offer, repeat_of, found_by, payee, payee_offer, payee_click_time, payee_click_seq, payee_click_node, amount, currency)
SELECT {version:UInt64}, 'ready', step = 'joined', site, conversion_time, conversion_seq, conversion_node, event_type, limited,
    goal, order_id, basis, click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing,
    affiliate, offer,
    -- What stands in a group that the run doesn't touch keeps its place there.
    if(has_click AND (step = 'joined' OR click_touched), repeats_click, bitAnd(toUInt8(repeat_of), 1))
        + 2 * if(has_order AND (step = 'joined' OR order_touched), repeats_order, bitShiftRight(toUInt8(repeat_of), 1)),
    found_by, payee, payee_offer, payee_click_time, payee_click_seq, payee_click_node, amount, currency
FROM (
    SELECT *,
        (conversion_time, conversion_seq, conversion_node) AS member,
        limited AND click_time != toDateTime64(0, 3, 'UTC') AS has_click,
        limited AND order_id != '' AS has_order,
        max(step != 'other') OVER by_click AS click_touched,
        max(step != 'other') OVER by_order AS order_touched,
        member != minIf(member, step != 'before') OVER by_click AS repeats_click,
        member != minIf(member, step != 'before') OVER by_order AS repeats_order
    FROM settle_rows
    WHERE version = {version:UInt64} AND step != 'ready'
    WINDOW
        by_click AS (PARTITION BY has_click, site, goal, click_time, click_seq, click_node),
        by_order AS (PARTITION BY has_order, site, goal, order_id)
)
WHERE step != 'before'
