-- Fraud: the signs, by affiliate, offer and sign. Those of single conversions are stored with them (`conversions.signals`); those that
-- only many clicks and conversions together tell are found here, by the thresholds of [fraud]. No row is dropped anywhere for them.
--
-- An affiliate's conversions are those whose click is its own (conversion_clicks), repeats left out; addresses are networks (/24, /48),
-- those of the clicks, for a postback comes from its network's server. FINAL: see ads.sql.
WITH
    fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AS since_time,
    fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC') AS until_time,
    settled AS (
        SELECT toString(site) AS site, toString(affiliate) AS affiliate, toString(offer) AS offer, conversion_time, conversion_seq,
            conversion_node, event_type != 'conversion_status' AND counted AS counts, click_time, click_seq, click_node
        FROM conversion_clicks FINAL
        WHERE conversion_time >= since_time AND conversion_time < until_time AND ({site:String} = '' OR site = {site:String})
    ),
    signed AS (
        SELECT fact.site AS site, settled.affiliate AS affiliate,
            if(settled.offer != '', settled.offer, fact.fact_offer) AS offer, fact.event_time AS at, fact.signals AS signals
        FROM (
            SELECT toString(site) AS site, toString(offer) AS fact_offer, event_time, id_seq, id_node, signals
            FROM conversions FINAL
            WHERE event_time >= since_time AND event_time < until_time AND notEmpty(signals)
              AND ({site:String} = '' OR site = {site:String})
        ) AS fact
        LEFT JOIN settled ON fact.site = settled.site AND fact.event_time = settled.conversion_time
            AND fact.id_seq = settled.conversion_seq AND fact.id_node = settled.conversion_node
    ),
    clicks AS (
        SELECT toString(site) AS site, toString(affiliate) AS affiliate, toString(offer) AS offer, event_time, id_seq, id_node, ip_net, flags
        FROM events FINAL
        WHERE event_type = 'click' AND affiliate != '' AND traffic_class IN ('human', 'suspect')
          AND event_time >= since_time AND event_time < until_time AND ({site:String} = '' OR site = {site:String})
    ),
    -- The clicks of the period's conversions, whenever they were.
    earned AS (
        SELECT settled.site AS site, settled.affiliate AS affiliate, settled.offer AS offer, settled.conversion_time AS at,
            click.ip_net AS ip_net, click.flags AS flags
        FROM settled
        INNER JOIN (
            SELECT toString(site) AS site, event_time, id_seq, id_node, ip_net, flags
            FROM events FINAL
            WHERE event_type = 'click' AND affiliate != ''
              AND event_time >= (SELECT minIf(click_time, affiliate != '') FROM settled) AND event_time < until_time
              AND (event_time, id_seq, id_node) IN (SELECT click_time, click_seq, click_node FROM settled WHERE affiliate != '')
        ) AS click
        ON settled.site = click.site AND settled.click_time = click.event_time AND settled.click_seq = click.id_seq
            AND settled.click_node = click.id_node
        WHERE settled.affiliate != '' AND settled.counts
    ),
    signs AS (
        SELECT site, affiliate, offer, toString(arrayJoin(signals)) AS sign, toUInt64(count()) AS found, toUInt64(0) AS threshold, min(at) AS first_at, max(at) AS last_at
        FROM signed GROUP BY site, affiliate, offer, sign

        UNION ALL

        SELECT site, affiliate, offer, arrayJoin(arrayFilter(flag -> flag IN ('click_embedded', 'click_not_activated'), flags)) AS sign,
            count(), 0, min(event_time), max(event_time)
        FROM clicks GROUP BY site, affiliate, offer, sign

        UNION ALL

        SELECT site, affiliate, offer, 'conversion_of_embedded_click', count(), 0, min(at), max(at)
        FROM earned WHERE has(flags, 'click_embedded') GROUP BY site, affiliate, offer

        UNION ALL

        SELECT clicked.site, clicked.affiliate, clicked.offer, 'clicks_without_conversions', clicked.found,
            {clicks_per_conversion_max:UInt64} * converted.found, clicked.first_at, clicked.last_at
        FROM (
            SELECT site, affiliate, offer, count() AS found, min(event_time) AS first_at, max(event_time) AS last_at
            FROM clicks GROUP BY site, affiliate, offer
        ) AS clicked
        LEFT JOIN (SELECT site, affiliate, offer, countIf(counts) AS found FROM settled GROUP BY site, affiliate, offer) AS converted
        ON clicked.site = converted.site AND clicked.affiliate = converted.affiliate AND clicked.offer = converted.offer
        WHERE clicked.found >= {clicks_min:UInt64} AND clicked.found > {clicks_per_conversion_max:UInt64} * converted.found

        UNION ALL

        SELECT site, affiliate, offer, 'one_address_clicks', sum(found), {address_clicks_max:UInt64}, min(first_at), max(last_at)
        FROM (
            SELECT site, affiliate, offer, ip_net, toDate(event_time) AS day, count() AS found, min(event_time) AS first_at, max(event_time) AS last_at
            FROM clicks WHERE ip_net != toIPv6('::') GROUP BY site, affiliate, offer, ip_net, day
            HAVING found > {address_clicks_max:UInt64}
        ) GROUP BY site, affiliate, offer

        UNION ALL

        SELECT site, affiliate, offer, 'one_address_conversions', sum(found), {address_conversions_max:UInt64}, min(first_at), max(last_at)
        FROM (
            SELECT site, affiliate, offer, ip_net, toDate(at) AS day, count() AS found, min(at) AS first_at, max(at) AS last_at
            FROM earned WHERE ip_net != toIPv6('::') GROUP BY site, affiliate, offer, ip_net, day
            HAVING found > {address_conversions_max:UInt64}
        ) GROUP BY site, affiliate, offer
    )
SELECT site, affiliate, offer, sign, found, threshold,
    toUnixTimestamp64Milli(first_at) AS first, toUnixTimestamp64Milli(last_at) AS last,
    count() OVER () AS row_count
FROM signs
ORDER BY found DESC, site, affiliate, offer, sign
LIMIT {limit:UInt32}
