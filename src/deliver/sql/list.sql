-- What stands in the tables of each endpoint.
SELECT
    name,
    toString(switch.state) AS state,
    toString(switch.reason) AS disabled_for,
    delivered,
    pending,
    failed,
    oldest_ms,
    last_reason,
    last_status,
    last_ms
FROM (
    SELECT toString(endpoint) AS name, state, reason FROM delivery_endpoints FINAL
) AS switch
LEFT JOIN (
    SELECT
        toString(endpoint) AS name,
        countIf(state = 'delivered') AS delivered,
        countIf(state = 'pending') AS pending,
        countIf(state = 'failed') AS failed,
        toUnixTimestamp64Milli(minIf(since, state = 'pending')) AS oldest_ms,
        toString(argMaxIf(reason, at, reason != '')) AS last_reason,
        argMaxIf(status, at, reason != '') AS last_status,
        toUnixTimestamp64Milli(maxIf(at, reason != '')) AS last_ms
    FROM deliveries FINAL
    GROUP BY endpoint
) AS counts USING (name)
ORDER BY name
