-- Which conversions are repeats: those that are not the earliest of each of their groups (see others.sql). What a network says of a
-- conversion that it reported before is never one itself. Leads are in no group: the join knows already whether they repeat a
-- submission, and the arithmetic below keeps that number (4) as it is.
INSERT INTO settle_rows (version, step, rejoined, site, conversion_time, conversion_seq, conversion_node, event_type, limited,
    goal, order_id, basis, click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing,
    affiliate, offer, repeat_of, found_by, payee, payee_offer, payee_click_time, payee_click_seq, payee_click_node, amount, currency,
    known_time, proof, voices, own_key)
WITH paid AS (
    SELECT site, conversion_time, conversion_seq, conversion_node, own.1 AS paid_by, own.2 AS paid_affiliate,
        own.3 AS paid_offer, own.4 AS paid_time, own.5 AS paid_seq, own.6 AS paid_node,
        claimed_amount AS paid_amount, claimed_currency AS paid_currency, payout_attribution.known_time AS paid_known, payout_attribution.proof AS paid_proof,
        payout_attribution.voices AS paid_voices
    FROM payout_attribution FINAL
    WHERE (site, conversion_time, conversion_seq, conversion_node) IN (
        SELECT site, conversion_time, conversion_seq, conversion_node
        FROM settle_rows WHERE version = {version:UInt64} AND step = 'other')
)
SELECT {version:UInt64}, 'ready', is_mine, site, conversion_time, conversion_seq, conversion_node, event_type, limited,
    goal, order_id, basis, click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing,
    affiliate, offer,
    -- What stands in a group that the run doesn't touch keeps its place there.
    if(has_click AND (is_mine OR click_touched), repeats_click, bitAnd(toUInt8(repeat_of), 1))
        + 2 * if(has_order AND (is_mine OR order_touched), repeats_order, bitShiftRight(toUInt8(repeat_of), 1)),
    if(is_mine, toInt8(found_by), paid_by), if(is_mine, payee, paid_affiliate), if(is_mine, payee_offer, paid_offer),
    if(is_mine, payee_click_time, paid_time), if(is_mine, payee_click_seq, paid_seq), if(is_mine, payee_click_node, paid_node),
    if(is_mine, amount, paid_amount), if(is_mine, currency, paid_currency),
    if(is_mine, known_time, paid_known), if(is_mine, proof, paid_proof),
    if(is_mine, voices, paid_voices), own_key
FROM (
    SELECT *,
        step = 'joined' AS is_mine,
        (limited = 1, known_time, conversion_time, conversion_seq, conversion_node) AS member,
        limited = 1 AND click_time != toDateTime64(0, 3, 'UTC') AS has_click,
        limited AND order_id != '' AS has_order,
        max(step != 'other') OVER by_click AS click_touched,
        max(step != 'other') OVER by_order AS order_touched,
        member != minIf(member, step != 'before') OVER by_click AS repeats_click,
        event_type = 'conversion_status' OR member != minIf(member, step != 'before' AND event_type != 'conversion_status') OVER by_order
            AS repeats_order
    FROM settle_rows
    WHERE version = {version:UInt64} AND step != 'ready'
    WINDOW
        by_click AS (PARTITION BY has_click, site, goal, click_time, click_seq, click_node),
        by_order AS (PARTITION BY has_order, site, order_id)
) AS placed
LEFT JOIN paid USING (site, conversion_time, conversion_seq, conversion_node)
WHERE step != 'before'
