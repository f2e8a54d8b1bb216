-- Leads, newest first, each with the click that settling joined it to, and how often it came.
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
    channel,
    campaign,
    ad,
    affiliate,
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
            lead.phone AS phone,
            toString(click.channel) AS channel,
            toString(click.campaign) AS campaign,
            toString(click.ad) AS ad,
            toString(click.affiliate) AS affiliate,
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
    )
)
-- What settling hasn't seen yet is no repeat until it says so.
WHERE NOT is_repeat
ORDER BY lead_time DESC, lead_seq DESC, lead_node DESC, site
LIMIT {limit:UInt32}
