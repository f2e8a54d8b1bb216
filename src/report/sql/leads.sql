-- Leads, newest first, each with the click that settling joined it to.
--
-- The oldest time on the page is found first, from one column: the page can't reach further back than `limit` distinct times.
-- With it the rest reads a page's worth of rows, not the period's. FINAL then drops what was stored twice.
WITH (
    SELECT min(event_time)
    FROM (
        SELECT DISTINCT event_time
        FROM leads
        WHERE event_time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
            AND event_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
            AND ({site:String} = '' OR site = {site:String})
        ORDER BY event_time DESC
        LIMIT {limit:UInt32}
    )
) AS oldest
SELECT
    lead.event_time AS at,
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
    assumeNotNull((
        SELECT count()
        FROM leads FINAL
        WHERE event_time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
            AND event_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
            AND ({site:String} = '' OR site = {site:String})
    )) AS row_count
FROM (
    SELECT *
    FROM leads FINAL
    WHERE event_time >= oldest
        AND event_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND ({site:String} = '' OR site = {site:String})
) AS lead
LEFT JOIN (
    SELECT *, toUInt8(1) AS settled
    FROM conversion_clicks FINAL
    WHERE conversion_time >= oldest
        AND conversion_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND event_type = 'lead'
        AND ({site:String} = '' OR site = {site:String})
) AS click
ON lead.site = click.site AND lead.event_time = click.conversion_time
    AND lead.id_seq = click.conversion_seq AND lead.id_node = click.conversion_node
ORDER BY lead.event_time DESC, lead.id_seq DESC, lead.id_node DESC, lead.site
LIMIT {limit:UInt32}
