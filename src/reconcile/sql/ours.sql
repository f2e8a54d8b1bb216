-- Our conversions of a postback (or of a site), one row for each transaction: what settling has brought them to, else what was said.
--
-- {keys} is empty for all of the period, else the transactions that are asked for. What is a test counts nowhere.
SELECT
    key,
    toUnixTimestamp64Milli(min(event_time)) AS at_ms,
    if(max(settled_version) > 0 AND argMax(settled_status, settled_version) != '', argMax(settled_status, settled_version),
        argMax(said_status, place)) AS status,
    CAST(if(max(settled_version) > 0, argMax(settled_amount, settled_version), argMinIf(said_amount, place, is_claim)), 'Decimal(38, 4)') AS amount,
    CAST(argMax(settled_refunded, settled_version), 'Decimal(38, 4)') AS refunded,
    if(max(settled_version) > 0, argMax(settled_currency, settled_version), argMinIf(said_currency, place, is_claim)) AS currency
FROM (
    SELECT fact.key AS key, fact.event_time AS event_time, (fact.event_time, fact.id_seq, fact.id_node) AS place,
        fact.event_type != 'conversion_status' AS is_claim,
        toString(fact.status) AS said_status, fact.amount AS said_amount, toString(fact.currency) AS said_currency,
        ledger.version AS settled_version, toString(ledger.status) AS settled_status, ledger.amount AS settled_amount,
        ledger.refunded AS settled_refunded, toString(ledger.currency) AS settled_currency
    FROM (
        SELECT site, event_type, event_time, id_seq, id_node, status, amount, currency,
            if(source_kind = 's2s', transaction_id, order_id) AS key
        FROM conversions FINAL
        WHERE event_time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND event_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
          AND event_type != 'lead' AND traffic_class != 'test'
          AND ({postback:String} = '' OR source_profile = {postback:String}) AND ({site:String} = '' OR site = {site:String})
          AND if(source_kind = 's2s', transaction_id, order_id) != ''
          AND (empty({keys:Array(String)}) OR if(source_kind = 's2s', transaction_id, order_id) IN {keys:Array(String)})
    ) AS fact
    LEFT JOIN (
        SELECT site, conversion_time, conversion_seq, conversion_node, status, amount, refunded, currency, version
        FROM payout_attribution FINAL
        WHERE conversion_time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
          AND conversion_time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    ) AS ledger
    ON fact.site = ledger.site AND fact.event_time = ledger.conversion_time AND fact.id_seq = ledger.conversion_seq
        AND fact.id_node = ledger.conversion_node
)
GROUP BY key
ORDER BY key
