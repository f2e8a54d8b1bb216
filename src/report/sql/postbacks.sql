-- Postbacks: what came of the messages of each, one row for each postback (reason = ''), one for each of its flags and refusals with the
-- parameter that it is about, and one row of totals (is_total = 1).
--
-- Messages count by their own time, refusals by the minute in which they came. What is not settled yet has no click so far and is in
-- neither duplicates nor no_click. FINAL: see ads.sql.
WITH
    fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AS since_time,
    fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC') AS until_time,
    messages AS (
        SELECT toString(fact.site) AS site, toString(fact.source_profile) AS postback, fact.event_type AS event_type,
            fact.event_time AS event_time, fact.received_lag_ms AS lag_ms, fact.flags AS flags, fact.odd AS odd,
            settled.version > 0 AS is_settled,
            fact.event_type != 'conversion_status' AS is_claim,
            is_settled AND is_claim AND settled.basis = 'none' AS has_no_click,
            is_settled AND is_claim AND settled.basis != 'none' AS has_click,
            is_settled AND is_claim AND NOT settled.counted AS is_duplicate,
            toUnixTimestamp64Milli(fact.event_time) - toUnixTimestamp64Milli(settled.click_time) AS after_click_ms
        FROM (
            SELECT site, source_profile, event_type, event_time, id_seq, id_node, received_lag_ms, flags, odd
            FROM conversions FINAL
            WHERE event_time >= since_time AND event_time < until_time AND source_kind = 's2s' AND source_profile != ''
              AND ({site:String} = '' OR site = {site:String})
        ) AS fact
        LEFT JOIN (
            SELECT site, conversion_time, conversion_seq, conversion_node, basis, counted, click_time, version
            FROM conversion_clicks FINAL
            WHERE conversion_time >= since_time AND conversion_time < until_time AND limited = 2
              AND ({site:String} = '' OR site = {site:String})
        ) AS settled
        ON fact.site = settled.site AND fact.event_time = settled.conversion_time
            AND fact.id_seq = settled.conversion_seq AND fact.id_node = settled.conversion_node
    ),
    refused AS (
        SELECT toString(site) AS site, toString(form) AS postback, toString(code) AS code, toString(parameter) AS parameter,
            sum(count) AS requests, max(minute) AS last_minute, argMaxIf(sample, minute, sample != '') AS newest_sample
        FROM refusals FINAL
        WHERE door = 'postback' AND minute >= toStartOfMinute(toDateTime(since_time, 'UTC')) AND minute < toDateTime(until_time, 'UTC')
          AND ({site:String} = '' OR site = {site:String})
        GROUP BY site, postback, code, parameter
    )
SELECT
    toUInt8(grouping(reason)) AS is_total,
    postback,
    site,
    reason,
    parameter,
    sum(part.accepted) AS accepted,
    sum(part.updates) AS updates,
    if(is_total, sumIf(part.flagged, part.reason = ''), sum(part.flagged)) AS flagged,
    sum(part.duplicates) AS duplicates,
    sum(part.no_click) AS no_click,
    if(is_total, sumIf(part.refused, part.reason = ''), sum(part.refused)) AS refused,
    if(is_total, toInt64(-1), max(part.after_click_ms)) AS after_click_ms,
    if(is_total, toInt64(-1), max(part.lag_ms)) AS lag_ms,
    max(part.last) AS last,
    max(part.sample) AS newest_sample,
    uniqExact(postback, site, reason, parameter) AS row_count
FROM (
    SELECT postback, site, '' AS reason, '' AS parameter, count() AS accepted, countIf(NOT is_claim) AS updates,
        countIf(notEmpty(flags)) AS flagged, countIf(is_duplicate) AS duplicates, countIf(has_no_click) AS no_click,
        toUInt64(0) AS refused,
        if(countIf(has_click) = 0, toInt64(-1), toInt64(quantileExactIf(after_click_ms, has_click))) AS after_click_ms,
        toInt64(quantileExact(lag_ms)) AS lag_ms,
        max(toUnixTimestamp64Milli(event_time)) AS last, '' AS sample
    FROM messages
    GROUP BY postback, site

    UNION ALL

    -- A flag with the parameters that it is about; with none where it is about the message as a whole.
    SELECT postback, site, about.1 AS reason, about.2 AS parameter, 0, 0, count(), 0, 0, 0, toInt64(-1), toInt64(-1),
        max(toUnixTimestamp64Milli(event_time)), ''
    FROM (
        SELECT postback, site, event_time, arrayJoin(arrayConcat(
            arrayMap((name, flag) -> (toString(flag), toString(name)), mapKeys(odd), mapValues(odd)),
            arrayMap(flag -> (toString(flag), ''), arrayFilter(flag -> NOT has(mapValues(odd), flag), flags)))) AS about
        FROM messages
    )
    GROUP BY postback, site, reason, parameter

    UNION ALL

    SELECT postback, site, code, parameter, 0, 0, 0, 0, 0, requests, toInt64(-1), toInt64(-1),
        toInt64(toUnixTimestamp(last_minute)) * 1000, newest_sample
    FROM refused

    UNION ALL

    SELECT postback, site, '', '', 0, 0, 0, 0, 0, sum(requests), toInt64(-1), toInt64(-1), toInt64(toUnixTimestamp(max(last_minute))) * 1000, ''
    FROM refused
    GROUP BY postback, site
) AS part
GROUP BY GROUPING SETS ((postback, site, reason, parameter), ())
HAVING is_total OR accepted + flagged + refused > 0
ORDER BY is_total DESC, postback, site, reason != '', refused DESC, flagged DESC, reason, parameter
LIMIT {limit:UInt32} + 1
