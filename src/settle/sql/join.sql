-- Finds the click of each conversion of the run, and the affiliate click that may earn its payout.
--
-- A conversion and a click find each other along a trail: (1, the click's id), (5, the network's id of it), (2, the visitor by
-- cookie) or (3, the day's hash and the day). A coupon (6) names an affiliate without a click. The numbers are those of `basis` and
-- `found_by`; `strength` puts them in order: 1, 5, 6, 2, 3. An ASOF join walks each trail back to its last click,
-- one look for each length of window, so that a click whose short window is over doesn't hide an older one with a longer window.
INSERT INTO settle_rows (version, step, rejoined, site, conversion_time, conversion_seq, conversion_node, event_type, limited,
    goal, order_id, basis, click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing,
    affiliate, offer, repeat_of, found_by, payee, payee_offer, payee_click_time, payee_click_seq, payee_click_node, amount, currency,
    known_time, proof, voices, own_key)
WITH
    toDate(0) AS no_day,
    toDateTime64('2200-01-01 00:00:00', 3, 'UTC') AS for_ever,
    'Tuple(seen UInt8, time DateTime64(3, \'UTC\'), seq UInt32, node UInt32, window_ms Int64, channel String, campaign String, ad String,
        creative String, placement String, link String, mailing String, affiliate String, offer String)' AS click_type,
    settling AS (SELECT * FROM settle_conversions WHERE version = {version:UInt64}),
    links AS (
        SELECT number AS link_number, name AS link_name, site AS link_site, campaign AS link_campaign, ad AS link_ad,
            creative AS link_creative, placement AS link_placement, mailing AS link_mailing
        FROM settle_registry FINAL WHERE fingerprint = {registry:UInt64} AND kind = 'link'
    ),
    offers AS (
        SELECT number AS offer_number, name AS offer_name, site AS offer_site, window_ms AS offer_window_ms
        FROM settle_registry FINAL WHERE fingerprint = {registry:UInt64} AND kind = 'offer'
    ),
    affiliates AS (
        SELECT number AS affiliate_number, name AS affiliate_name
        FROM settle_registry FINAL WHERE fingerprint = {registry:UInt64} AND kind = 'affiliate'
    ),
    coupons AS (
        SELECT name AS coupon_name, site AS coupon_site, affiliate AS coupon_affiliate, offer AS coupon_offer
        FROM settle_registry FINAL WHERE fingerprint = {registry:UInt64} AND kind = 'coupon'
    ),
    -- From the longest window before the first conversion to the end of the last one's day.
    fromUnixTimestamp64Milli({first_ms:Int64} - {window_ms_max:Int64}, 'UTC') AS since_time,
    toStartOfDay(fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC')) + toIntervalDay(1) AS until_time,

    -- Clicks by visitor, in primary-key order; and those that a conversion names, whenever they were. Site is looked at again
    -- where trails meet.
    found_clicks AS (
        SELECT site, visitor, visitor_basis, day_hash, event_time, id_seq, id_node, received_lag_ms, traffic_class,
            channel, campaign, ad, creative, placement, link, mailing,
            -- Who was turned away (another country, a cap) was sent for nothing: such a click earns no payout.
            if(hasAny(flags, ['cap_reached', 'country_not_allowed', 'country_unknown']), '', affiliate) AS affiliate, offer, click_ids,
            external_click_id
        FROM events
        WHERE event_type = 'click' AND site IN (SELECT site FROM settling) AND event_time >= since_time AND event_time < until_time
          AND visitor IN (
            SELECT visitor FROM settling WHERE visitor != 0
            UNION ALL
            SELECT toUInt128(day_hash) FROM settling WHERE day_hash != 0
            UNION ALL
            SELECT visitor FROM touch_keys
            WHERE (site, kind, key) IN (SELECT site, 'day_hash', toUInt128(day_hash) FROM settling WHERE day_hash != 0)
              AND event_time >= since_time AND event_time < until_time AND visitor != 0)
        UNION ALL
        SELECT site, visitor, visitor_basis, day_hash, event_time, id_seq, id_node, received_lag_ms, traffic_class,
            channel, campaign, ad, creative, placement, link, mailing,
            -- Who was turned away (another country, a cap) was sent for nothing: such a click earns no payout.
            if(hasAny(flags, ['cap_reached', 'country_not_allowed', 'country_unknown']), '', affiliate) AS affiliate, offer, click_ids,
            external_click_id
        FROM events
        WHERE event_type = 'click' AND (site, visitor, event_time, id_seq, id_node) IN (
            SELECT site, visitor, event_time, id_seq, id_node FROM touch_keys
            WHERE (site, kind, key) IN (SELECT site, 'click_id', parent_click FROM settling WHERE parent_click != 0
                UNION ALL
                SELECT site, 'network_click_id', network_click FROM settling WHERE network_click != 0))
    ),
    -- A click that was found both ways stands twice, to no effect: the last of equals is the same.
    clicks AS (
        SELECT *,
            traffic_class IN ('human', 'suspect') AS touches,
            bitShiftLeft(toUInt128(toUnixTimestamp64Milli(event_time) + received_lag_ms), 80)
                + bitShiftLeft(toUInt128(28672 + bitShiftRight(id_seq, 20)), 64) + bitShiftLeft(toUInt128(2), 62)
                + bitShiftLeft(toUInt128(bitAnd(id_seq, 1048575)), 42) + bitShiftLeft(toUInt128(id_node), 10) AS id,
            if(bitShiftRight(visitor, 64) = 0, 0, visitor) AS cookie,
            if(visitor_basis = 'daily_hash', toUInt64(visitor), day_hash) AS hash
        FROM found_clicks
    ),
    -- Where each click's trails end. Two visitors on one trail, and it leads nowhere: a day's hash that they share says nothing. For
    -- payouts it matters since when (`holds_until`): what was locked before the second one came stays.
    ends AS (
        SELECT site, trail, click, wants_affiliate,
            if(trail.1 = 1, 0, click.window_ms) AS window_ms,
            if(trail.1 = 1, toDateTime64(0, 3, 'UTC'), click.time) AS since, holds_until
        FROM (
            SELECT site, trail, click, is_one,
                if(is_one, for_ever, minIf(known, visitor != first_visitor) OVER (PARTITION BY site, trail)) AS holds_until
            FROM (
                SELECT site, trail, visitor, event_time + toIntervalMillisecond(received_lag_ms) AS known,
                    CAST((1, event_time, id_seq, id_node, if(offer_number = 0, {window_ms:Int64}, offer_window_ms),
                        channel, campaign, ad, creative, placement, link, mailing, affiliate, offer), click_type) AS click,
                    min(visitor) OVER (PARTITION BY site, trail) = max(visitor) OVER (PARTITION BY site, trail) AS is_one,
                    argMin(visitor, (known, visitor)) OVER (PARTITION BY site, trail) AS first_visitor
                FROM (
                    SELECT *, arrayJoin(arrayFilter(way -> way.2 != 0, arrayConcat([
                        (1, id, no_day),
                        (2, if(touches, cookie, 0), no_day),
                        (3, if(touches, toUInt128(hash), 0), toDate(event_time))],
                        if(affiliate = '', [], arrayDistinct(arrayMap(
                            told -> (5, reinterpretAsUInt128(substring(SHA256(told), 1, 16)), no_day),
                            arrayFilter(told -> told != '', arrayPushBack(mapValues(click_ids), external_click_id)))))))) AS trail
                    FROM clicks
                ) AS traced
                LEFT JOIN offers ON traced.offer = offers.offer_name
            )
        )
        ARRAY JOIN [0, 1] AS wants_affiliate
        WHERE (wants_affiliate = 1 OR is_one) AND (wants_affiliate = 0 OR trail.1 = 1 OR click.affiliate != '')
    ),
    last_clicks AS (
        SELECT site, trail.1 AS way, trail.2 AS key, trail.3 AS day, wants_affiliate, window_ms, since,
            argMax(click, (click.time, click.seq, click.node)) AS click, any(holds_until) AS holds_until
        FROM ends
        GROUP BY site, trail, wants_affiliate, window_ms, since
    ),
    -- Each conversion's trails, with what its signed click id says by itself, should the click's row not be there.
    asked AS (
        SELECT *, trail.1 AS way, trail.2 AS key, trail.3 AS day, arrayJoin([0, 1]) AS wants_affiliate,
            -- A claim to have happened later than it was told finds no click that came in between: it earns nothing.
            if(wants_affiliate, least(event_time, known_time), event_time) AS asked_time,
            arrayJoin(if(way IN (0, 1, 6), [toInt64(0)], {windows_ms:Array(Int64)})) AS window_ms
        FROM (
            SELECT *,
                CAST((0, fromUnixTimestamp64Milli(toInt64(bitShiftRight(parent_click, 80)), 'UTC'),
                    bitShiftLeft(bitAnd(bitShiftRight(parent_click, 64), 4095), 20) + bitAnd(bitShiftRight(parent_click, 42), 1048575),
                    bitAnd(bitShiftRight(parent_click, 10), 4294967295),
                    if(offer_number = 0, {window_ms:Int64}, offer_window_ms),
                    '', link_campaign, link_ad, link_creative, link_placement, link_name, link_mailing, affiliate_name, offer_name),
                    click_type) AS told,
                CAST((0, event_time, 0, 0, 0, '', '', '', '', '', '', '', coupon_affiliate, coupon_offer), click_type) AS told_by_coupon,
                link_site IN ('', site) AND offer_site IN ('', site) AS same_site,
                arrayJoin(arrayFilter(way -> way.1 = 0 OR way.2 != 0, [
                    (0, toUInt128(0), no_day),
                    (1, parent_click, no_day),
                    (2, visitor, no_day),
                    (3, toUInt128(day_hash), toDate(event_time)),
                    (5, network_click, no_day),
                    (6, toUInt128(coupon_affiliate != ''), no_day)])) AS trail
            FROM settling
            LEFT JOIN links ON settling.parent_link = links.link_number
            LEFT JOIN offers ON settling.parent_offer = offers.offer_number
            LEFT JOIN affiliates ON settling.parent_affiliate = affiliates.affiliate_number
            LEFT JOIN coupons ON settling.site = coupons.coupon_site AND settling.coupon = coupons.coupon_name
        )
    ),
    candidates AS (
        SELECT asked.*, multiIf(last_clicks.click.seen, last_clicks.click, way = 6, told_by_coupon, told) AS click,
            transform(way, [1, 5, 6, 2, 3], [5, 4, 3, 2, 1], 0) AS strength,
            toUnixTimestamp64Milli(event_time) - toUnixTimestamp64Milli(click.time) AS age_ms,
            (click.seen OR (way = 1 AND same_site) OR way = 6) AND age_ms >= 0 AND age_ms <= click.window_ms AS reaches,
            if(last_clicks.click.seen, last_clicks.holds_until, for_ever) AS holds_until,
            holds_until <= known_time AS is_shared,
            reaches AND click.affiliate != '' AND (way != 1 OR click.offer != '') AND NOT is_shared AS reaches_affiliate
        FROM asked ASOF LEFT JOIN last_clicks
          ON asked.site = last_clicks.site AND asked.way = last_clicks.way AND asked.key = last_clicks.key AND asked.day = last_clicks.day
         AND asked.wants_affiliate = last_clicks.wants_affiliate AND asked.window_ms = last_clicks.window_ms
         AND asked.asked_time >= last_clicks.since
    ),
    -- Leads that the same submission came shortly before. What was judged differently is never a repeat: a machine's must not
    -- hide a person's.
    repeated AS (
        SELECT site, event_time, id_seq, id_node
        FROM (
            SELECT *, lagInFrame(event_time, 1, toDateTime64(0, 3, 'UTC')) OVER (
                PARTITION BY site, submission_key, class ORDER BY event_time, id_seq, id_node
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS one_before
            FROM (
                SELECT site, submission_key, event_time, id_seq, id_node, any(traffic_class) AS class
                FROM conversions
                WHERE event_type = 'lead' AND submission_key != 0
                  AND event_time >= fromUnixTimestamp64Milli({first_ms:Int64} - {repeat_window_ms:Int64}, 'UTC')
                  AND event_time <= fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC')
                  AND (site, submission_key) IN (SELECT site, submission_key FROM settling WHERE submission_key != 0)
                GROUP BY site, submission_key, event_time, id_seq, id_node
            )
        )
        WHERE {repeat_window_ms:Int64} > 0 AND one_before != toDateTime64(0, 3, 'UTC')
          AND event_time <= one_before + toIntervalMillisecond({repeat_window_ms:Int64})
    ),
    joined AS (
        SELECT site, event_time, id_seq, id_node,
            any(event_type) AS event_type, any(limited) AS limited, any(goal) AS goal, any(order_id) AS order_id,
            any(amount) AS claimed_amount, any(currency) AS claimed_currency,
            any(known_time) AS known_time,
            argMaxIf((way, click), (strength, click.time, click.seq, click.node), reaches AND wants_affiliate = 0 AND way != 6) AS last,
            arrayReverseSort(one -> (one.1, one.2, one.3, one.4), groupUniqArrayIf(
                (strength, click.time, click.seq, click.node, way, toString(click.affiliate), toString(click.offer), holds_until),
                reaches_affiliate AND wants_affiliate = 1)) AS found_voices,
            -- Of each way the last click.
            arrayMap(one -> (toInt8(one.5), one.6, one.7, one.2, one.3, one.4, one.8), arrayFilter(
                (one, place) -> indexOf(arrayMap(other -> other.5, found_voices), one.5) = place,
                found_voices, arrayEnumerate(found_voices))) AS voices,
            -- All that was considered, the strongest first, each with what was found of it.
            arrayMap(one -> one.2, arrayReverseSort(one -> one.1, groupUniqArrayIf(
                ((strength, click.time, click.seq), (
                    transform(way, [1, 5, 6, 2, 3], ['click_id', 'network_click_id', 'coupon', 'last_affiliate_click_cookie',
                        'last_affiliate_click_daily_hash'], ''),
                    toString(click.affiliate), toString(click.offer), click.time,
                    multiIf(reaches_affiliate AND holds_until = for_ever, 'counts', reaches_affiliate, 'counts until another visitor had it',
                        reaches AND is_shared, 'of several visitors', way = 1 AND NOT click.seen AND NOT same_site, 'of another site',
                        age_ms < 0, 'after the conversion', age_ms > click.window_ms, 'outside the window', 'no offer'))),
                wants_affiliate = 1 AND (click.seen OR way IN (1, 6)) AND click.affiliate != ''))) AS proof
        FROM candidates
        GROUP BY site, event_time, id_seq, id_node
    )
SELECT {version:UInt64}, 'joined', 1, site, event_time, id_seq, id_node, event_type, limited, goal,
    if(group_key = '', order_id, group_key),
    last.1, click.seen, click.time, click.seq, click.node, click.channel, click.campaign, click.ad, click.creative, click.placement,
    click.link, click.mailing, click.affiliate, click.offer,
    if((site, event_time, id_seq, id_node) IN (SELECT site, event_time, id_seq, id_node FROM repeated), 'submission', 'none'),
    payee.1, payee.2, payee.3, payee.4, payee.5, payee.6,
    claimed_amount, claimed_currency,
    known_time, proof, voices, if(group_key = '' OR limited = 1, '', order_id)
FROM (SELECT *, last.2 AS click, voices[1] AS payee FROM joined) AS found
LEFT JOIN (
    SELECT site AS group_site, conversion_time, conversion_seq, conversion_node, group_key FROM settle_groups WHERE version = {version:UInt64}
) AS groups ON found.site = groups.group_site AND found.event_time = groups.conversion_time
    AND found.id_seq = groups.conversion_seq AND found.id_node = groups.conversion_node
