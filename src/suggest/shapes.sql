-- What the values of a form's fields look like, for fields that have no meaning yet: counts only, no value leaves the warehouse. A question mark would be a bound
-- value: no expression has one.
SELECT
    name,
    any(dialect) AS dialect,
    count() AS filled,
    uniqExact(value) AS different,
    countIf(match(value, '^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$')) AS emails,
    countIf(match(value, '^(http[s]*://|www\\.)\\S+$')) AS urls,
    countIf(match(value, '^(\\d{4}-\\d{2}-\\d{2}|\\d{1,2}[./]\\d{1,2}[./]\\d{4})$')) AS dates,
    countIf(match(value, '^[+(]{0,1}[\\d০-৯٠-٩۰-۹][\\d০-৯٠-٩۰-۹ ()./-]*$') AND length(replaceRegexpAll(value, '[ ()./+-]', '')) >= 8
        AND NOT match(value, '^(\\d{4}-\\d{2}-\\d{2}|\\d{1,2}[./]\\d{1,2}[./]\\d{4}|\\d{5}-\\d{3,4})$')) AS phones,
    countIf(match(value, '^(\\d{2}-\\d{3}|\\d{4,6}|\\d{5}-\\d{3,4}|[A-Za-z]{1,2}\\d[A-Za-z\\d]{0,1} {0,1}\\d[A-Za-z]{2})$')) AS postcodes,
    countIf(has({countries:Array(String)}, lowerUTF8(value))) AS countries,
    countIf(lengthUTF8(value) > 60 OR position(value, '\n') > 0) AS texts,
    countIf(lengthUTF8(value) <= 60 AND match(value, '^[\\pL\\pM]+(\\d+[\\pL]{0,1}){0,1}[ ,].*\\d|^\\d+[\\pL]{0,1},{0,1} [\\pL\\pM]{3}')) AS streets,
    countIf(lengthUTF8(value) <= 60 AND match(value, '^[\\pL\\pM][\\pL\\pM''’.-]*( [\\pL\\pM][\\pL\\pM''’.-]*){1,4}$')) AS names,
    countIf(lengthUTF8(value) <= 30 AND match(value, '^[\\pL\\pM][\\pL\\pM''’-]*$')) AS words,
    countIf(lowerUTF8(value) IN ('0', '1', 'on', 'off', 'yes', 'no', 'true', 'false', 'ja', 'nein', 'tak', 'nie', 'oui', 'non', 'si', 'sí', 'sim', 'não')) AS switches
FROM (
    SELECT toString(pair.1) AS name, trimBoth(pair.2) AS value, dialect
    FROM (
        SELECT arrayJoin(arrayZip(mapKeys(extra), mapValues(extra))) AS pair, toString(dialect) AS dialect
        FROM leads FINAL
        WHERE form = {form:String} AND event_time >= now64(3, 'UTC') - toIntervalDay({days:UInt32})
        UNION ALL
        SELECT arrayJoin(arrayZip(mapKeys(extra), mapValues(extra))) AS pair, toString(dialect) AS dialect
        FROM service_contacts FINAL
        WHERE form = {form:String} AND event_time >= now64(3, 'UTC') - toIntervalDay({days:UInt32})
    )
)
WHERE value != '' AND NOT startsWith(name, 'leadtrail.')
GROUP BY name
ORDER BY filled DESC, name
LIMIT 200
