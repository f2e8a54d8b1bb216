-- Leads, newest first, each with the page and source it came from, the click that settling joined it to, and how often it came.
--
-- The source is the campaign's (utm_source) of the page, else of the click, else what the form says of itself, else the host that the visitor
-- came from; the page is the one the form stands on, as far as the browser said.
--
-- The same submission again is no lead of its own: it counts with the first one, up to the next that settling doesn't call a repeat. The
-- oldest time on the page is found first, from few columns: the page can't reach further back than `limit` distinct times of leads
-- that count (without FINAL: once a repeat, always a repeat). With it the rest reads a page's worth of rows, not the period's. FINAL then drops what was stored twice.
WITH
    repeats AS (
        SELECT site, conversion_time, conversion_seq, conversion_node
        FROM conversion_clicks
        WHERE event_type = 'lead' AND counted = 0
            AND conversion_time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
            AND conversion_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
            AND ({site:String} = '' OR site = {site:String})
    ),
    (
        SELECT min(event_time)
        FROM (
            SELECT DISTINCT event_time
            FROM leads
            WHERE event_time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
                AND event_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
                AND ({site:String} = '' OR site = {site:String})
                AND (site, event_time, id_seq, id_node) NOT IN (SELECT * FROM repeats)
            ORDER BY event_time DESC
            LIMIT {limit:UInt32}
        )
    ) AS oldest
SELECT
    lead_time AS at,
    site,
    form,
    full_name,
    first_name,
    last_name,
    email,
    phone,
    source,
    page,
    channel,
    campaign,
    ad,
    affiliate,
    link,
    basis,
    country,
    verdict,
    count,
    assumeNotNull((
        SELECT count()
        FROM leads FINAL
        WHERE event_time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
            AND event_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
            AND ({site:String} = '' OR site = {site:String})
            AND (site, event_time, id_seq, id_node) NOT IN (SELECT * FROM repeats)
    )) AS row_count
FROM (
    SELECT *, if(submission_key = 0, 1, count() OVER (PARTITION BY site, submission_key, verdict, turn)) AS count
    FROM (
        SELECT
            lead.event_time AS lead_time,
            lead.id_seq AS lead_seq,
            lead.id_node AS lead_node,
            lead.submission_key AS submission_key,
            toString(lead.site) AS site,
            toString(lead.form) AS form,
            lead.full_name AS full_name,
            lead.first_name AS first_name,
            lead.last_name AS last_name,
            lead.email AS email,
            if(lead.phone != '', lead.phone, lead.mobile) AS phone,
            multiIf(event.utm_source != '', toString(event.utm_source), hit.utm_source != '', toString(hit.utm_source),
                lead.lead_source != '', lead.lead_source, event.referrer_host != '', toString(event.referrer_host),
                toString(hit.referrer_host)) AS source,
            concat(toString(event.landing_host), toString(event.landing_path)) AS page,
            toString(click.channel) AS channel,
            toString(click.campaign) AS campaign,
            toString(click.ad) AS ad,
            toString(click.affiliate) AS affiliate,
            toString(click.link) AS link,
            if(click.settled, toString(click.basis), '') AS basis,
            toString(lead.country) AS country,
            toString(lead.traffic_class) AS verdict,
            click.is_repeat AS is_repeat,
            -- Which lead that counts a repeat belongs to: the last one before it.
            sum(NOT click.is_repeat) OVER (PARTITION BY lead.site, lead.submission_key, lead.traffic_class
                ORDER BY lead.event_time, lead.id_seq, lead.id_node
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS turn
        FROM (
            SELECT *
            FROM leads FINAL
            WHERE event_time >= oldest
                AND event_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
                AND ({site:String} = '' OR site = {site:String})
        ) AS lead
        LEFT JOIN (
            SELECT *, toUInt8(1) AS settled, toUInt8(counted = 0) AS is_repeat
            FROM conversion_clicks FINAL
            WHERE conversion_time >= oldest
                AND conversion_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
                AND event_type = 'lead'
                AND ({site:String} = '' OR site = {site:String})
        ) AS click
        ON lead.site = click.site AND lead.event_time = click.conversion_time
            AND lead.id_seq = click.conversion_seq AND lead.id_node = click.conversion_node
        LEFT JOIN (
            SELECT site, event_time, id_seq, id_node, utm_source, referrer_host, landing_host, landing_path
            FROM events
            WHERE (site, visitor, event_time, id_seq, id_node) IN (
                SELECT site, visitor, event_time, id_seq, id_node
                FROM leads
                WHERE event_time >= oldest
                    AND event_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
                    AND ({site:String} = '' OR site = {site:String})
            )
            LIMIT 1 BY site, event_time, id_seq, id_node
        ) AS event
        ON lead.site = event.site AND lead.event_time = event.event_time
            AND lead.id_seq = event.id_seq AND lead.id_node = event.id_node
        LEFT JOIN (
            SELECT site, event_time, id_seq, id_node, utm_source, referrer_host
            FROM events
            WHERE event_type = 'click' AND (site, visitor, event_time, id_seq, id_node) IN (
                SELECT site, visitor, event_time, id_seq, id_node
                FROM touch_keys
                -- The click's id, made of its parts: a click has no time but that of its receipt.
                WHERE (site, kind, key) IN (
                    SELECT site, 'click_id', bitShiftLeft(toUInt128(toUnixTimestamp64Milli(click_time)), 80)
                        + bitShiftLeft(toUInt128(28672 + bitShiftRight(click_seq, 20)), 64) + bitShiftLeft(toUInt128(2), 62)
                        + bitShiftLeft(toUInt128(bitAnd(click_seq, 1048575)), 42) + bitShiftLeft(toUInt128(click_node), 10)
                    FROM conversion_clicks FINAL
                    WHERE conversion_time >= oldest
                        AND conversion_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
                        AND event_type = 'lead' AND basis != 'none'
                        AND ({site:String} = '' OR site = {site:String})
                )
            )
            LIMIT 1 BY site, event_time, id_seq, id_node
        ) AS hit
        ON click.site = hit.site AND click.click_time = hit.event_time
            AND click.click_seq = hit.id_seq AND click.click_node = hit.id_node
    )
)
-- What settling hasn't seen yet is no repeat until it says so.
WHERE NOT is_repeat
ORDER BY lead_time DESC, lead_seq DESC, lead_node DESC, site
LIMIT {limit:UInt32}
