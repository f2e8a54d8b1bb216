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
        SELECT site, event_time, id_seq, id_node, goal, order_id, transaction_id, transaction_key, source_profile, status, toString(traffic_class) AS verdict
        FROM conversions FINAL
        WHERE (site, event_time, id_seq, id_node) IN (SELECT site, conversion_time, conversion_seq, conversion_node FROM ledger)
    ),
    history AS (
        SELECT site, transaction_key, arrayStringConcat(arrayMap(one -> concat(formatDateTime(one.1, '%F %T'), ' ', one.3,
            if(one.4 = '', '', concat(' ', one.4, ' ', one.5))), arraySort(groupArray((event_time, id_seq, toString(status),
            if(has_amount, toString(amount), ''), toString(currency))))), '; ') AS told
        FROM conversions FINAL
        WHERE transaction_key != '' AND transaction_key IN (SELECT transaction_key FROM fact WHERE transaction_key != '')
        GROUP BY site, transaction_key
    )
SELECT
    toUnixTimestamp64Milli(ledger.conversion_time) AS at,
    [toString(ledger.site), toString(ledger.event_type), toString(fact.source_profile), if(fact.transaction_id != '', fact.transaction_id, fact.order_id),
        toString(fact.goal), if(ledger.status != '', toString(ledger.status), toString(fact.status)), fact.verdict,
        toString(ledger.amount), toString(ledger.currency), toString(ledger.refunded),
        ifNull(toString(ledger.amount_base), 'no rate'), toString(ledger.base_currency),
        if(ledger.rate = 0, '', toString(ledger.rate)), if(ledger.rate = 0, '', toString(ledger.rate_date)), toString(ledger.rate_source),
        toString(ledger.affiliate), toString(ledger.offer), toString(ledger.evidence),
        toString(ledger.state), if(ledger.lock_time = never, '', formatDateTime(ledger.lock_time, '%F %T')),
        toString(ledger.payout), toString(ledger.payout_currency), toString(ledger.taken_back), toString(ledger.rule),
        arrayStringConcat(arrayMap(one -> concat(one.evidence, ' ', one.affiliate, ' (', one.verdict, ')'), ledger.proof), '; '),
        arrayStringConcat(arrayMap(one -> concat(formatDateTime(one.known_time, '%F %T'), ' ', one.evidence, ' ', one.affiliate), ledger.disputes), '; '),
        history.told] AS cells,
    ledger.all_rows AS row_count
FROM ledger
LEFT JOIN fact ON ledger.site = fact.site AND ledger.conversion_time = fact.event_time
    AND ledger.conversion_seq = fact.id_seq AND ledger.conversion_node = fact.id_node
LEFT JOIN history ON fact.site = history.site AND fact.transaction_key = history.transaction_key
ORDER BY ledger.conversion_time DESC, ledger.conversion_seq DESC, ledger.conversion_node DESC
