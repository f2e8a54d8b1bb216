-- Conversions, newest first, each with its history: what the network's messages said and when, who is paid, how much and why. Repeats are
-- part of the history of another and have no row of their own. FINAL: see ads.sql.
WITH
    toDateTime64(0, 3, 'UTC') AS never,
    ledger AS (
        SELECT *, count() OVER () AS all_rows FROM payout_attribution FINAL
        WHERE conversion_time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
            AND conversion_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
            AND ({site:String} = '' OR site = {site:String})
            AND event_type NOT IN ('lead', 'conversion_status') AND evidence != 'repeat'
        ORDER BY conversion_time DESC, conversion_seq DESC, conversion_node DESC
        LIMIT {limit:UInt32}
    ),
    fact AS (
        SELECT site, event_time, id_seq, id_node, goal, order_id, transaction_id, source_profile, status, toString(traffic_class) AS verdict
        FROM conversions FINAL
        WHERE (site, event_time, id_seq, id_node) IN (SELECT site, conversion_time, conversion_seq, conversion_node FROM ledger)
    ),
    -- Whose messages it is one of: a transaction's, or an order's that came through several doors.
    clicks AS (
        SELECT site, conversion_time, conversion_seq, conversion_node, order_id FROM conversion_clicks FINAL
        WHERE (site, conversion_time, conversion_seq, conversion_node) IN (SELECT site, conversion_time, conversion_seq, conversion_node FROM ledger)
    ),
    members AS (
        SELECT site, conversion_time, conversion_seq, conversion_node, order_id FROM conversion_clicks FINAL
        WHERE order_id != '' AND order_id IN (SELECT order_id FROM clicks WHERE order_id != '')
    ),
    history AS (
        SELECT members.site AS site, members.order_id AS group_key, arrayStringConcat(arrayMap(one -> concat(formatDateTime(one.1, '%F %T'), ' ', one.3,
            if(one.4 = '', '', concat(' ', one.4, ' ', one.5)), ' by ', one.6), arraySort(groupArray((event_time, id_seq, toString(status),
            if(has_amount, toString(amount), ''), toString(currency), if(source_kind = 'pixel', 'pixel', toString(source_profile)))))), '; ') AS told
        FROM conversions FINAL
        INNER JOIN members ON conversions.site = members.site AND conversions.event_time = members.conversion_time
            AND conversions.id_seq = members.conversion_seq AND conversions.id_node = members.conversion_node
        WHERE event_time >= (SELECT min(conversion_time) FROM members) AND event_time <= (SELECT max(conversion_time) FROM members)
        GROUP BY members.site, members.order_id
    )
SELECT
    toUnixTimestamp64Milli(ledger.conversion_time) AS at,
    [toString(ledger.site), toString(ledger.event_type), toString(fact.source_profile), if(fact.transaction_id != '', fact.transaction_id, fact.order_id),
        toString(fact.goal), if(ledger.status != '', toString(ledger.status), toString(fact.status)), fact.verdict,
        toString(ledger.amount), toString(ledger.currency), toString(ledger.refunded),
        ifNull(toString(ledger.amount_base), 'no rate'), toString(ledger.base_currency),
        if(ledger.rate = 0, '', toString(ledger.rate)), if(ledger.rate = 0, '', toString(ledger.rate_date)), toString(ledger.rate_source),
        toString(ledger.affiliate), toString(ledger.offer), toString(ledger.evidence),
        if(ledger.lock_time > now64(3, 'UTC'), 'provisional', toString(ledger.state)), if(ledger.lock_time = never, '', formatDateTime(ledger.lock_time, '%F %T')),
        toString(ledger.payout), toString(ledger.payout_currency), toString(ledger.taken_back), toString(ledger.rule),
        arrayStringConcat(arrayMap(one -> concat(one.evidence, ' ', one.affiliate, ' (', one.verdict, ')'), ledger.proof), '; '),
        arrayStringConcat(arrayMap(one -> concat(formatDateTime(one.known_time, '%F %T'), ' ', one.evidence, ' ', one.affiliate), ledger.disputes), '; '),
        history.told] AS cells,
    ledger.all_rows AS row_count
FROM ledger
LEFT JOIN fact ON ledger.site = fact.site AND ledger.conversion_time = fact.event_time
    AND ledger.conversion_seq = fact.id_seq AND ledger.conversion_node = fact.id_node
LEFT JOIN clicks ON ledger.site = clicks.site AND ledger.conversion_time = clicks.conversion_time
    AND ledger.conversion_seq = clicks.conversion_seq AND ledger.conversion_node = clicks.conversion_node
LEFT JOIN history ON clicks.site = history.site AND clicks.order_id = history.group_key
ORDER BY ledger.conversion_time DESC, ledger.conversion_seq DESC, ledger.conversion_node DESC
