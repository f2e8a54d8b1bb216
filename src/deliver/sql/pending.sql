-- What an endpoint has not got yet, the longest due first.
SELECT toString(site) AS site_name, toUnixTimestamp64Milli(event_time) AS event_time_ms, id_seq, id_node, received_lag_ms,
    toString(form) AS form_name, attempts, toUnixTimestamp64Milli(since) AS since_ms, version
FROM deliveries FINAL
WHERE endpoint = {endpoint:String} AND state = 'pending'
ORDER BY since, event_time, id_seq, id_node
LIMIT {limit:UInt32}
