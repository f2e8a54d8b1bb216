-- Deliveries that are not done, one by one; newest first.
SELECT
    toString(event_id) AS id,
    toString(endpoint) AS name,
    toString(site) AS site_name,
    toString(form) AS form_name,
    toString(state) AS state_name,
    attempts,
    toString(reason) AS last_reason,
    status AS last_status,
    toUnixTimestamp64Milli(since) AS since_ms,
    toUInt64(count() OVER ()) AS row_count
FROM deliveries FINAL
WHERE ({endpoint:String} = '' OR endpoint = {endpoint:String}) AND state != 'delivered'
ORDER BY event_time DESC, id_seq DESC, id_node DESC, endpoint
LIMIT {limit:UInt32}
