-- Finds the click of each conversion of the run, and the affiliate click that may earn its payout.
--
-- A conversion and a click find each other along a trail: (1, the click's id), (2, the visitor by cookie) or (3, the day's hash
-- and the day). The numbers are those of `basis`; the lower is the stronger. An ASOF join walks each trail back to its last click,
-- one look for each length of window, so that a click whose short window is over doesn't hide an older one with a longer window.
INSERT INTO settle_rows (version, step, rejoined, site, conversion_time, conversion_seq, conversion_node, event_type, limited,
    goal, order_id, basis, click_seen, click_time, click_seq, click_node, channel, campaign, ad, creative, placement, link, mailing,
    affiliate, offer, repeat_of, found_by, payee, payee_offer, payee_click_time, payee_click_seq, payee_click_node, amount, currency)
WITH
    toDate(0) AS no_day,
    settling AS (SELECT * FROM settle_conversions WHERE version = {version:UInt64}),
    (SELECT (min(event_time) - toIntervalMillisecond({window_ms_max:Int64}),
        toStartOfDay(max(event_time)) + toIntervalDay(1)) FROM settling) AS reach,

    -- A click that a conversion names is read whenever it was; the rest is read by visitor, in primary-key order.
    clicks AS (
        SELECT site, visitor, event_time, id_seq, id_node,
            traffic_class IN ('human', 'suspect') AS touches,
            bitShiftLeft(toUInt128(toUnixTimestamp64Milli(event_time) + received_lag_ms), 80)
                + bitShiftLeft(toUInt128(28672 + bitShiftRight(id_seq, 20)), 64) + bitShiftLeft(toUInt128(2), 62)
                + bitShiftLeft(toUInt128(bitAnd(id_seq, 1048575)), 42) + bitShiftLeft(toUInt128(id_node), 10) AS id,
            if(bitShiftRight(visitor, 64) = 0, 0, visitor) AS cookie,
            if(visitor_basis = 'daily_hash', toUInt64(visitor), day_hash) AS hash,
            {offer_windows_ms:Array(Int64)}[transform(toString(offer), {offer_names:Array(String)}, {offer_places:Array(UInt32)}, toUInt32(1))] AS window_ms,
            (1, event_time, id_seq, id_node, window_ms, toString(channel), toString(campaign), toString(ad), toString(creative),
                toString(placement), toString(link), toString(mailing), toString(affiliate), toString(offer)) AS click
        FROM events
        WHERE event_type = 'click' AND (
            (site, visitor, event_time, id_seq, id_node) IN (
                SELECT site, visitor, event_time, id_seq, id_node FROM touch_keys
                WHERE (site, kind, key) IN (SELECT site, 'click_id', parent_click FROM settling WHERE parent_click != 0))
            OR (event_time >= reach.1 AND event_time < reach.2 AND (site, visitor) IN (
                SELECT site, visitor FROM settling WHERE visitor != 0
                UNION ALL
                SELECT site, toUInt128(day_hash) FROM settling WHERE day_hash != 0
                UNION ALL
                SELECT site, visitor FROM touch_keys
                WHERE (site, kind, key) IN (SELECT site, 'day_hash', toUInt128(day_hash) FROM settling WHERE day_hash != 0)
                  AND event_time >= reach.1 AND event_time < reach.2)))
    ),
    -- One visitor at the end of a trail, or it leads nowhere: a day's hash that two visitors share says nothing.
    ends AS (
        SELECT site, trail, click, wants_affiliate,
            if(trail.1 = 1, 0, click.5) AS window_ms,
            if(trail.1 = 1, toDateTime64(0, 3, 'UTC'), click.2) AS since
        FROM (
            SELECT site, trail, click,
                min(visitor) OVER (PARTITION BY site, trail) AS one, max(visitor) OVER (PARTITION BY site, trail) AS other
            FROM (
                SELECT site, visitor, click, arrayJoin(arrayFilter(way -> way.2 != 0, [
                    (1, id, no_day),
                    (2, if(touches, cookie, 0), no_day),
                    (3, if(touches, toUInt128(hash), 0), toDate(event_time))])) AS trail
                FROM clicks
            )
        )
        ARRAY JOIN [0, 1] AS wants_affiliate
        WHERE one = other AND (wants_affiliate = 0 OR trail.1 = 1 OR click.13 != '')
    ),
    last_clicks AS (
        SELECT site, trail.1 AS way, trail.2 AS key, trail.3 AS day, wants_affiliate, window_ms, since,
            argMax(click, (click.2, click.3, click.4)) AS click
        FROM ends
        GROUP BY site, trail, wants_affiliate, window_ms, since
    ),
    asked AS (
        SELECT *, trail.1 AS way, trail.2 AS key, trail.3 AS day, arrayJoin([0, 1]) AS wants_affiliate,
            arrayJoin(if(way < 2, [toInt64(0)], {windows_ms:Array(Int64)})) AS window_ms
        FROM (
            SELECT *, arrayJoin(arrayFilter(way -> way.1 = 0 OR way.2 != 0, [
                (0, toUInt128(0), no_day),
                (1, parent_click, no_day),
                (2, visitor, no_day),
                (3, toUInt128(day_hash), toDate(event_time))])) AS trail
            FROM settling
        )
    ),
    -- What a signed id says by itself, for a click whose row is not there.
    told AS (
        SELECT asked.*, last_clicks.click AS stored,
            transform(parent_link, {link_numbers:Array(UInt32)}, {link_places:Array(UInt32)}, toUInt32(1)) AS link_place,
            transform(parent_offer, {offer_numbers:Array(UInt32)}, {offer_places:Array(UInt32)}, toUInt32(1)) AS offer_place,
            transform(parent_affiliate, {affiliate_numbers:Array(UInt32)}, {affiliate_places:Array(UInt32)}, toUInt32(1)) AS affiliate_place,
            {link_sites:Array(String)}[link_place] IN ('', toString(site)) AND {offer_sites:Array(String)}[offer_place] IN ('', toString(site)) AS same_site,
            if(stored.1 = 1, stored, (
                0, fromUnixTimestamp64Milli(toInt64(bitShiftRight(parent_click, 80)), 'UTC'),
                toUInt32(bitShiftLeft(bitAnd(bitShiftRight(parent_click, 64), 4095), 20) + bitAnd(bitShiftRight(parent_click, 42), 1048575)),
                toUInt32(bitAnd(bitShiftRight(parent_click, 10), 4294967295)),
                {offer_windows_ms:Array(Int64)}[offer_place],
                '', {link_campaigns:Array(String)}[link_place], {link_ads:Array(String)}[link_place],
                {link_creatives:Array(String)}[link_place], {link_placements:Array(String)}[link_place],
                {link_names:Array(String)}[link_place], {link_mailings:Array(String)}[link_place],
                {affiliate_names:Array(String)}[affiliate_place], {offer_names:Array(String)}[offer_place])) AS click,
            toUnixTimestamp64Milli(event_time) - toUnixTimestamp64Milli(click.2) AS age_ms,
            (stored.1 = 1 OR (way = 1 AND same_site)) AND age_ms >= 0 AND age_ms <= click.5 AS earns
        FROM asked ASOF LEFT JOIN last_clicks
          ON asked.site = last_clicks.site AND asked.way = last_clicks.way AND asked.key = last_clicks.key AND asked.day = last_clicks.day
         AND asked.wants_affiliate = last_clicks.wants_affiliate AND asked.window_ms = last_clicks.window_ms
         AND asked.event_time >= last_clicks.since
    ),
    joined AS (
        SELECT site, event_time, id_seq, id_node,
            any(event_type) AS event_type, any(limited) AS limited, any(goal) AS goal, any(order_id) AS order_id,
            any(amount) AS claimed_amount, any(currency) AS claimed_currency,
            argMaxIf((way, click), (3 - way, click.2, click.3, click.4), earns AND wants_affiliate = 0) AS last_click,
            argMaxIf((way, click), (3 - way, click.2, click.3, click.4),
                earns AND wants_affiliate = 1 AND click.13 != '' AND (way != 1 OR click.14 != '')) AS affiliate_click,
            transform(affiliate_click.2.14, {offer_names:Array(String)}, {offer_places:Array(UInt32)}, toUInt32(1)) AS place,
            limited AND {offer_has_amounts:Array(UInt8)}[place] = 1 AS offer_sets_amount
        FROM told
        GROUP BY site, event_time, id_seq, id_node
    )
SELECT {version:UInt64}, 'joined', 1, site, event_time, id_seq, id_node, event_type, limited, goal, order_id,
    last_click.1, last_click.2.1, last_click.2.2, last_click.2.3, last_click.2.4, last_click.2.6, last_click.2.7, last_click.2.8, last_click.2.9,
    last_click.2.10, last_click.2.11, last_click.2.12, last_click.2.13, last_click.2.14,
    'none',
    affiliate_click.1, affiliate_click.2.13, affiliate_click.2.14, affiliate_click.2.2, affiliate_click.2.3, affiliate_click.2.4,
    if(offer_sets_amount, reinterpret({offer_amounts:Array(Int64)}[place], 'Decimal(18, 4)'), claimed_amount),
    if(offer_sets_amount, {offer_currencies:Array(String)}[place], toString(claimed_currency))
FROM joined
