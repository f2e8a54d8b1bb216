-- Held submissions, newest first, and what was decided about others. FINAL: of the rows of one submission the highest version counts.
SELECT
    toString(event_id) AS id,
    toString(site) AS site,
    toString(form) AS form,
    toString(state) AS state,
    toUnixTimestamp64Milli(event_time) AS event_time_ms,
    toUnixTimestamp64Milli(at) AS at_ms,
    score,
    arrayMap(reason -> toString(reason), reasons) AS reasons,
    ruleset,
    payload,
    toUInt64(count() OVER ()) AS row_count
FROM quarantine FINAL
WHERE event_time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    AND event_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    AND ({site:String} = '' OR site = {site:String})
    AND ({form:String} = '' OR form = {form:String})
    AND ({reason:String} = '' OR has(reasons, {reason:String}))
    AND ({state:String} = 'all' OR state = {state:String})
    AND ({id:String} = '' OR toString(event_id) = {id:String})
ORDER BY event_time DESC, id_seq DESC, id_node DESC
LIMIT {limit:UInt32}
