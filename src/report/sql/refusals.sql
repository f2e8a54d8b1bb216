-- Refusals: what the edges refused in the period, by site, form or postback, door, code and parameter, and one row of totals (is_total = 1).
--
-- FINAL: a report that was stored twice counts once. A period that begins or ends amid a minute takes that minute whole.
SELECT
    toUInt8(grouping(code)) AS is_total,
    site,
    form,
    door,
    code,
    parameter,
    sum(count) AS refused,
    toUnixTimestamp64Milli(toDateTime64(min(minute), 3, 'UTC')) AS first_minute,
    toUnixTimestamp64Milli(toDateTime64(max(minute), 3, 'UTC')) AS last_minute,
    argMaxIf(sample, minute, sample != '') AS newest_sample,
    uniqExact(site, form, door, code, parameter) AS row_count
FROM (
    SELECT toString(site) AS site, toString(form) AS form, toString(door) AS door, toString(code) AS code, toString(parameter) AS parameter, minute, count, sample
    FROM refusals FINAL
    WHERE minute >= toStartOfMinute(toDateTime(fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC'), 'UTC'))
        AND minute < toDateTime(fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC'), 'UTC')
        AND ({site:String} = '' OR site = {site:String})
)
GROUP BY GROUPING SETS ((site, form, door, code, parameter), ())
HAVING is_total OR refused > 0
ORDER BY is_total DESC, refused DESC, site, form, door, code, parameter
LIMIT {limit:UInt32} + 1
